// Who may send the response to a request: its handler's goroutine, or the server on behalf of a
// handler whose deadline has passed.
//
//   idle       no request is being answered
//   open       nothing has been sent          -> committed  by commit(): the handler's goroutine
//                                             -> timed_out  by try_time_out(): the deadline's
//   interim    the handler's goroutine sends an interim response (1xx)
//                                             -> open       by end_interim(): the same
//                                             -> cut        by try_cut(): the deadline's
//   committed  the head is on its way, or has left
//                                             -> cut        by try_cut(): the deadline's
//   timed_out, cut   the deadline's side answered, or ended the connection
//   any        -> idle   by end(): the connection's goroutine
//
// The number of the request stands above the state, so that one request's deadline cannot claim the
// next one's response. Each change is a compare-and-swap with one winner.
#pragma once

#include <atomic>
#include <cstdint>

namespace treadle::http::detail {

class ResponseClaim {
 public:
  enum class State : std::uint8_t { idle, open, interim, committed, timed_out, cut };
  // What was seen of one request's claim.
  using Ticket = std::uint64_t;

  // The connection's goroutine. Release: what the deadline's side reads of the request was written
  // before; acquire in the look that precedes its claim.
  void begin() noexcept {
    word_.store(
        (word_.load(std::memory_order_relaxed) | kStateMask) + 1 + static_cast<Ticket>(State::open),
        std::memory_order_release);
  }
  // Ends the request and says how it stood. The connection's goroutine.
  State end() noexcept {
    return state_of(word_.exchange(word_.load(std::memory_order_relaxed) & ~kStateMask,
                                   std::memory_order_acq_rel));
  }

  // The handler's side. False: the deadline's side was faster.
  bool commit() noexcept { return move(State::open, State::committed); }
  bool begin_interim() noexcept { return move(State::open, State::interim); }
  bool end_interim() noexcept { return move(State::interim, State::open); }
  // Whether the response is not the handler's any more.
  bool lost() const noexcept { return state() >= State::timed_out; }
  State state() const noexcept { return state_of(word_.load(std::memory_order_acquire)); }

  // The deadline's side. `number` tells the requests of a connection apart, by their low 24 bits.
  Ticket look() const noexcept { return word_.load(std::memory_order_acquire); }
  static std::uint32_t number(Ticket t) noexcept {
    return static_cast<std::uint32_t>(t >> 3) & 0xffffff;
  }
  static State state_of(Ticket t) noexcept { return static_cast<State>(t & kStateMask); }
  bool try_time_out(Ticket seen) noexcept {
    return state_of(seen) == State::open && swap(seen, State::timed_out);
  }
  bool try_cut(Ticket seen) noexcept {
    return (state_of(seen) == State::committed || state_of(seen) == State::interim) &&
           swap(seen, State::cut);
  }

 private:
  static constexpr Ticket kStateMask = 7;

  bool swap(Ticket seen, State to) noexcept {
    return word_.compare_exchange_strong(seen, (seen & ~kStateMask) | static_cast<Ticket>(to),
                                         std::memory_order_acq_rel);
  }
  bool move(State from, State to) noexcept {
    const Ticket seen = word_.load(std::memory_order_relaxed);
    return state_of(seen) == from && swap(seen, to);
  }

  std::atomic<Ticket> word_{0};
};

}  // namespace treadle::http::detail
