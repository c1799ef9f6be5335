// A connection as the server uses it: every wait bounded by "no progress for so long", and the
// whole by "too slow on average".
#pragma once

#include <sys/uio.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

#include <treadle/net/conn.h>
#include <treadle/result.h>
#include <treadle/timer.h>

#include "held_output.h"

namespace treadle::http::detail {

// What a peer must keep to; zero: no limit. See ServerOptions.
struct PeerLimits {
  Duration read_timeout{};
  Duration write_timeout{};
  std::uint64_t min_rate = 0;  // bytes a second
  Duration min_rate_after{};
};

// How long we have waited for the peer in one direction of one message, and for how much. Only time
// spent in calls that move bytes counts, so a handler that computes, or a client that does not
// want to send yet, costs the peer nothing.
class Pace {
 public:
  void begin() noexcept { *this = Pace(); }
  void count(std::uint64_t bytes, Duration waited) noexcept {
    bytes_ += bytes;
    waited_ += waited;
  }
  // How much longer the peer may take before its average falls below the least; Duration::max()
  // without a limit.
  Duration allowance(const PeerLimits& limits) const noexcept;

 private:
  std::uint64_t bytes_ = 0;
  Duration waited_{};
};

// Borrows a Conn and its limits. Deadlines are renewed as long as bytes move, so that a slow peer
// may take its time and a stuck one may not. One goroutine reads, one writes.
//
// What is held leaves with the next write, and before anything is read: a client may wait for an
// answer before it sends more.
class Transport {
 public:
  Transport(net::Conn& conn, const PeerLimits& limits) noexcept : conn_(&conn), limits_(&limits) {}

  net::Conn& conn() const noexcept { return *conn_; }

  // From here on the peer's average pace counts anew: another request's body, another response.
  void begin_message() noexcept {
    reading_.begin();
    writing_.begin();
  }

  // Conn::read() within the read timeout, once what is held has been sent.
  Result<std::size_t> read(std::span<std::byte> into);
  // Conn::write_all() and send_file(), within the write timeout for each stretch without progress.
  // write() may change `parts`. A stuck peer is given up within a tenth more than the
  // timeout after the last byte it took.
  // What is held goes first, in the same call; the result does not count it. At most seven parts.
  net::WriteResult write(std::span<iovec> parts) {
    return held_.nothing() ? write_through(parts, writing_) : write_behind_held(parts);
  }
  net::WriteResult send_file(const net::File& file, std::uint64_t offset, std::uint64_t count);

  // Instead of write(), for the last bytes of a response that another one follows: they are held.
  // False: write() them. Parks where somebody sends what was held before.
  bool hold(std::span<const iovec> parts);
  // Sends what is held. Whoever holds a reference, from any goroutine. Parks.
  Result<void> flush() { return held_.nothing() ? Result<void>() : flush_held(); }
  // As much of it as the connection takes at once, for one that is about to be closed: the rest is
  // lost. Never parks; as flush().
  void flush_now() noexcept;
  HeldOutput& held() noexcept { return held_; }

 private:
  Result<void> flush_held();
  void send_taken();
  net::WriteResult write_behind_held(std::span<iovec> parts);
  net::WriteResult write_through(std::span<iovec> parts, Pace& pace);

  net::Conn* conn_;
  const PeerLimits* limits_;
  Pace reading_;
  Pace writing_;
  HeldOutput held_;
};

// `d` from now, of a second or more a few milliseconds less at times: the coarse clock is some way
// behind. A zero duration means never, as in ServerOptions.
inline constexpr Duration kShortTime = std::chrono::seconds(1);
Deadline deadline_after(Duration d) noexcept;
Deadline deadline_after(Duration d, TimePoint now) noexcept;

// A clock some milliseconds late at an eighth of the price, for what is far away as a rule.
TimePoint coarse_now() noexcept;

}  // namespace treadle::http::detail
