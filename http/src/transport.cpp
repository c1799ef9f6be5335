#include "transport.h"

#include <time.h>

#include <chrono>

namespace treadle::http::detail {
namespace {

// What is left of `parts` once `written` bytes of them are gone.
std::span<iovec> advance(std::span<iovec> parts, std::size_t written) noexcept {
  while (!parts.empty() && written >= parts.front().iov_len) {
    written -= parts.front().iov_len;
    parts = parts.subspan(1);
  }
  if (!parts.empty()) {
    parts.front().iov_base = static_cast<char*>(parts.front().iov_base) + written;
    parts.front().iov_len -= written;
  }
  return parts;
}

bool stalled_but_moved(const net::WriteResult& r) noexcept {
  return r.error == Errc::timed_out && r.written > 0;
}

}  // namespace

// Three deadlines a request, each far away as a rule: the coarse clock, some milliseconds late,
// does at an eighth of the price.
Deadline deadline_after(Duration d) noexcept {
  if (d == Duration::zero()) return Deadline::never();
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  const Duration since_start = std::chrono::seconds(now.tv_sec) + Duration(now.tv_nsec);
  if (d > Duration::max() - since_start) return Deadline::never();
  return Deadline(TimePoint(since_start + d));
}

Result<std::size_t> Transport::read(std::span<std::byte> into) const {
  conn_->set_read_deadline(deadline_after(read_timeout_));
  return conn_->read(into);
}

net::WriteResult Transport::write(std::span<iovec> parts) const {
  net::WriteResult total;
  for (;;) {
    conn_->set_write_deadline(deadline_after(write_timeout_));
    net::WriteResult r = conn_->write_all(parts);
    total.written += r.written;
    total.error = r.error;
    if (!stalled_but_moved(r)) return total;
    parts = advance(parts, r.written);
  }
}

net::WriteResult Transport::send_file(const net::File& file, std::uint64_t offset,
                                      std::uint64_t count) const {
  net::WriteResult total;
  for (;;) {
    conn_->set_write_deadline(deadline_after(write_timeout_));
    net::WriteResult r = conn_->send_file(file, offset, count);
    total.written += r.written;
    total.error = r.error;
    if (!stalled_but_moved(r)) return total;
    offset += r.written;
    count -= r.written;
  }
}

}  // namespace treadle::http::detail
