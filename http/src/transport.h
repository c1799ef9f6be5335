// A connection as the server uses it: every wait bounded by "no progress for so long".
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include <treadle/net/conn.h>
#include <treadle/result.h>
#include <treadle/timer.h>

namespace treadle::http::detail {

// Borrows a Conn. Deadlines are renewed as long as bytes move, so that a slow peer may take as long
// as it likes and a stuck one may not. One goroutine at a time.
class Transport {
 public:
  Transport(net::Conn& conn, Duration read_timeout, Duration write_timeout) noexcept
      : conn_(&conn), read_timeout_(read_timeout), write_timeout_(write_timeout) {}

  net::Conn& conn() const noexcept { return *conn_; }

  // Conn::read() within the read timeout.
  Result<std::size_t> read(std::span<std::byte> into) const;
  // Conn::write_all() and send_file(), within the write timeout for each stretch without progress.
  // write() changes `parts` to what is left. A stuck peer is given up within a tenth more than the
  // timeout after the last byte it took.
  net::WriteResult write(std::span<iovec> parts) const;
  net::WriteResult send_file(const net::File& file, std::uint64_t offset,
                             std::uint64_t count) const;

 private:
  net::Conn* conn_;
  Duration read_timeout_;
  Duration write_timeout_;
};

// `d` from now, a few milliseconds less at times; a zero duration means never, as in ServerOptions.
Deadline deadline_after(Duration d) noexcept;

}  // namespace treadle::http::detail
