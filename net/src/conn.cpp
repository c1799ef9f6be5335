// What every connection does alike.
#include <treadle/net/conn.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <vector>

#include <treadle/net/file.h>

namespace treadle::net {

WriteResult Conn::write_all(std::span<const std::byte> bytes) {
  // The kernel only reads through an iovec; its type has no const for historical reasons.
  const iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  return write_all(std::span(&part, 1));
}

WriteResult Conn::write_all(std::string_view text) {
  return write_all(std::as_bytes(std::span(text)));
}

void Conn::watch_peer(const Context&) {}

void Conn::set_cork(Cork /*cork*/) noexcept {}

Result<const treadle::detail::Pollable*> Conn::begin_dormant_wait() {
  if (auto r = wait_readable(); !r) return fail(r.error());
  return nullptr;
}

// A Conn that cannot tell has nothing at once.
Result<std::size_t> Conn::read_now(std::span<std::byte> /*into*/) { return fail_errno(EAGAIN); }

// A Conn that cannot tell takes nothing at once.
std::size_t Conn::write_now(std::span<const std::byte> /*bytes*/) noexcept { return 0; }

WriteResult Conn::send_file(const File& file, std::uint64_t offset, std::uint64_t count) {
  // On the heap: a piece large enough to be worth a system call would commit that much stack.
  constexpr std::size_t kPiece = 64 * 1024;
  std::vector<std::byte> buffer(static_cast<std::size_t>(std::min<std::uint64_t>(count, kPiece)));
  std::uint64_t sent = 0;
  while (sent < count) {
    const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(count - sent, kPiece));
    const auto got = file.read_at(std::span(buffer).first(want), offset + sent);
    if (!got) return {static_cast<std::size_t>(sent), got.error()};
    if (*got == 0) break;  // the file ends here
    const WriteResult wrote = write_all(std::span<const std::byte>(buffer).first(*got));
    sent += wrote.written;
    if (!wrote) return {static_cast<std::size_t>(sent), wrote.error};
  }
  return {static_cast<std::size_t>(sent), {}};
}

}  // namespace treadle::net
