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

// Three deadlines a request, each far away as a rule: the coarse clock, some milliseconds late,
// does at an eighth of the price.
TimePoint coarse_now() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return TimePoint(std::chrono::seconds(now.tv_sec) + Duration(now.tv_nsec));
}

bool beyond_clock(TimePoint from, Duration d) noexcept {
  return d > Duration::max() - from.time_since_epoch();
}

// How long a writer bears a peer that takes nothing. A Conn says what it moved only when its
// deadline has passed, not when the last byte went. So the time-out is waited for in slices, and
// begins anew at the end of each that moved something: a cut comes one slice late at most.
// Rejected: a whole time-out at a time, which cuts a peer that stops at once after two of them.
class Patience {
 public:
  explicit Patience(Duration timeout) noexcept : timeout_(timeout), since_(coarse_now()) {}

  // Of the call that comes next.
  Deadline next() noexcept {
    if (timeout_ == Duration::zero() || beyond_clock(since_, timeout_)) return Deadline::never();
    ++slice_;
    return Deadline(since_ + (slice_ == kSlices ? timeout_ : timeout_ / kSlices * slice_));
  }

  // Whether to go on after that call.
  bool lasts(const net::WriteResult& r) noexcept {
    if (r.error != Errc::timed_out) return false;
    if (r.written == 0) return slice_ < kSlices;
    since_ = Clock::now();
    slice_ = 0;
    return true;
  }

 private:
  static constexpr int kSlices = 16;

  Duration timeout_;
  TimePoint since_;  // when the write began, or the peer is known to have taken something
  int slice_ = 0;    // those passed or under way since
};

}  // namespace

Deadline deadline_after(Duration d) noexcept {
  if (d == Duration::zero()) return Deadline::never();
  const TimePoint now = coarse_now();
  return beyond_clock(now, d) ? Deadline::never() : Deadline(now + d);
}

Result<std::size_t> Transport::read(std::span<std::byte> into) const {
  conn_->set_read_deadline(deadline_after(read_timeout_));
  return conn_->read(into);
}

net::WriteResult Transport::write(std::span<iovec> parts) const {
  net::WriteResult total;
  Patience patience(write_timeout_);
  for (;;) {
    conn_->set_write_deadline(patience.next());
    net::WriteResult r = conn_->write_all(parts);
    total.written += r.written;
    total.error = r.error;
    if (!patience.lasts(r)) return total;
    parts = advance(parts, r.written);
  }
}

net::WriteResult Transport::send_file(const net::File& file, std::uint64_t offset,
                                      std::uint64_t count) const {
  net::WriteResult total;
  Patience patience(write_timeout_);
  for (;;) {
    conn_->set_write_deadline(patience.next());
    net::WriteResult r = conn_->send_file(file, offset, count);
    total.written += r.written;
    total.error = r.error;
    if (!patience.lasts(r)) return total;
    offset += r.written;
    count -= r.written;
  }
}

}  // namespace treadle::http::detail
