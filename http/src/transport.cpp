#include "transport.h"

#include <time.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <mutex>

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

// Beyond it the socket's buffer may well be full.
constexpr std::size_t kSmall = 16 * 1024;

// What is too far for the clock is never.
Deadline later(TimePoint from, Duration d) noexcept {
  return d > Duration::max() - from.time_since_epoch() ? Deadline::never() : Deadline(from + d);
}

// How long a writer bears a peer that takes nothing. A Conn says what it moved only when its
// deadline has passed, not when the last byte went. So the time-out is waited for in slices, and
// begins anew at the end of each that moved something: a cut comes one slice late at most.
// Rejected: a whole time-out at a time, which cuts a peer that stops at once after two of them.
class Patience {
 public:
  Patience(const PeerLimits& limits, Pace& pace) noexcept
      : limits_(limits), pace_(pace), since_(coarse_now()), last_(since_) {}

  // Of the call that comes next.
  Deadline next() noexcept {
    const Duration timeout = limits_.write_timeout;
    const Deadline by_pace = later(last_, pace_.allowance(limits_));
    if (timeout == Duration::zero() || later(since_, timeout).is_never()) return by_pace;
    ++slice_;
    const Duration slice = slice_ >= kSlices ? timeout : timeout / kSlices * slice_;
    return std::min(by_pace, later(since_, slice));
  }

  // Takes note of that call; whether to go on after it.
  bool lasts(const net::WriteResult& r) noexcept {
    const TimePoint now = r ? coarse_now() : Clock::now();
    pace_.count(r.written, std::max(now - last_, Duration::zero()));
    last_ = now;
    if (r.error != treadle::Errc::timed_out || pace_.allowance(limits_) <= Duration::zero())
      return false;
    if (r.written == 0) return limits_.write_timeout == Duration::zero() || slice_ < kSlices;
    since_ = now;
    slice_ = 0;
    return true;
  }

 private:
  static constexpr int kSlices = 16;

  const PeerLimits& limits_;
  Pace& pace_;
  TimePoint since_;  // when the write began, or the peer is known to have taken something
  TimePoint last_;   // when the call under way began
  int slice_ = 0;    // those passed or under way since
};

}  // namespace

Deadline deadline_after(Duration d) noexcept {
  if (d == Duration::zero()) return Deadline::never();
  return later(d < kShortTime ? Clock::now() : coarse_now(), d);
}

Deadline deadline_after(Duration d, TimePoint now) noexcept {
  return d == Duration::zero() ? Deadline::never() : later(now, d);
}

TimePoint coarse_now() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return TimePoint(std::chrono::seconds(now.tv_sec) + Duration(now.tv_nsec));
}

Duration Pace::allowance(const PeerLimits& limits) const noexcept {
  if (limits.min_rate == 0) return Duration::max();
  const std::uint64_t seconds = bytes_ / limits.min_rate;
  // Far more than anybody has waited: nothing to compute.
  constexpr std::uint64_t kDay = 24 * 60 * 60;
  const Duration earned = std::chrono::seconds(std::min(seconds, kDay));
  return std::max(limits.min_rate_after, earned) - waited_;
}

Result<std::size_t> Transport::read(std::span<std::byte> into) {
  if (auto sent = flush(); !sent) return fail(sent.error());
  const TimePoint begin = coarse_now();
  Duration patience = reading_.allowance(*limits_);
  if (limits_->read_timeout != Duration::zero())
    patience = std::min(patience, limits_->read_timeout);
  conn_->set_read_deadline(later(begin, patience));
  Result<std::size_t> n = conn_->read(into);
  reading_.count(n ? *n : 0, coarse_now() - begin);
  return n;
}

bool Transport::hold(std::span<const iovec> parts) {
  if (held_.claim()) return false;  // write() says why
  HeldOutput::Turn ours(held_);
  HeldRoom& room = held_.room();
  const bool fits = room.append(parts);
  if (fits) room.ends.push_back(static_cast<std::uint32_t>(room.size));
  if (room.size > 0)
    ours.offer();
  else
    ours.settle(0, {});
  return fits;
}

// With a pace of its own: the connection's goroutine may begin a message meanwhile.
void Transport::send_taken() {
  HeldOutput::Turn ours(held_);
  const HeldRoom& room = held_.room();
  std::array<iovec, 1> all{iovec{room.bytes.get(), room.size}};
  Pace pace;
  const net::WriteResult r = write_through(all, pace);
  ours.settle(r.written, r.error);
}

Result<void> Transport::flush_held() {
  const std::lock_guard turn(held_.turn);
  if (held_.take()) {
    try {
      send_taken();
    } catch (const std::exception&) {
      // No memory to encrypt it: the error says so.
    }
  }
  if (const std::error_code e = held_.error()) return fail(e);
  return {};
}

void Transport::flush_now() noexcept {
  if (held_.nothing()) return;
  const std::unique_lock turn(held_.turn, std::try_to_lock);
  if (!turn || !held_.take()) return;
  const HeldRoom& room = held_.room();
  const std::size_t n = conn_->write_now(std::as_bytes(std::span(room.bytes.get(), room.size)));
  held_.settle(n, n < room.size ? make_error_code(treadle::Errc::closed) : std::error_code());
}

net::WriteResult Transport::write_behind_held(std::span<iovec> parts) {
  if (const std::error_code e = held_.claim()) return {0, e};
  HeldOutput::Turn ours(held_);
  HeldRoom& room = held_.room();
  const std::size_t before = room.size;
  std::array<iovec, 8> all;
  std::size_t n = 1;
  if (!room.append(parts)) n += parts.size();
  all[0] = {room.bytes.get(), room.size};
  std::copy_n(parts.begin(), n - 1, all.begin() + 1);
  net::WriteResult r = write_through(std::span(all).first(n), writing_);
  ours.settle(r.written, r.error);
  r.written -= std::min(r.written, before);
  return r;
}

net::WriteResult Transport::write_through(std::span<iovec> parts, Pace& pace) {
  net::WriteResult total;
  // A small response in one piece, which the connection takes at once as a rule: no deadline is
  // needed for what does not wait.
  if (parts.size() == 1 && parts[0].iov_len <= kSmall) {
    const std::span bytes(static_cast<const std::byte*>(parts[0].iov_base), parts[0].iov_len);
    total.written = conn_->write_now(bytes);
    pace.count(total.written, Duration::zero());
    if (total.written == bytes.size()) return total;
    parts = advance(parts, total.written);
  }
  Patience patience(*limits_, pace);
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
                                      std::uint64_t count) {
  net::WriteResult total;
  if (auto sent = flush(); !sent) return {0, sent.error()};
  Patience patience(*limits_, writing_);
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
