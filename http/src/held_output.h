// Finished responses of pipelined requests that wait to leave in one write.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <treadle/mutex.h>

namespace treadle::http::detail {

// Where they are put together: an Exchange's, so that idle connections have none.
struct HeldRoom {
  static constexpr std::size_t kMost = 16 * 1024;

  std::unique_ptr<char[]> bytes;  // kMost of them, made once
  std::size_t size = 0;
  std::vector<std::uint32_t> ends;  // where each of the responses ends

  // False, and nothing is taken, when there is no room for all of it.
  bool append(std::span<const iovec> parts);
  void clear() noexcept {
    size = 0;
    ends.clear();
  }
};

// Who may touch the room, and write to the connection what is in it. While a handler runs, the
// responses before its own may lie here, and a handler may take as long as it likes. So others send
// them in its stead: see output_sweep.h.
//
//   unwatched  nothing is held, and no sweep looks here  -> mine       the connection's side
//   none       nothing is held                           -> mine       the connection's side
//                                                        -> unwatched  the sweep
//   mine       the response's writer puts more in, or sends it all
//                                                        -> held, none, failed   the same
//   held       somebody has to send it                   -> mine       the connection's side
//                                                        -> taken      whoever holds `turn`
//   taken      whoever holds `turn` sends it             -> none, failed   the same
//   failed     a write failed: all later ones do; for good
//
// "The connection's side" is whoever may write a response there by its ResponseClaim. It does not
// wait for a handler: each change is a compare-and-swap from a state that more than one can leave,
// and a plain store from one that has one owner. Acquire and release carry the room's plain fields.
//
// Invariant: in `held` the connection is watched, or its own goroutine is about to see to that
// before anything else, a handler least of all. (Where that finds no memory the connection ends.)
class HeldOutput {
 public:
  class Turn;

  // From here on, until another is lent: the connection's goroutine, with nothing held.
  void lend(HeldRoom* room) noexcept { room_ = room; }
  HeldRoom& room() const noexcept { return *room_; }

  // Whether a write may go straight to the connection. The connection's side.
  bool nothing() const noexcept {
    return state_.load(std::memory_order_acquire) <= State::none;  // pairs with settle()
  }
  // Makes the room the caller's, who is on the connection's side. Parks while somebody sends what
  // is in it. The error of a write that failed.
  std::error_code claim();
  // After claim(): what is in the room is to be sent by whoever comes first.
  void offer() noexcept { state_.store(State::held, std::memory_order_release); }

  // Whoever holds `turn`: what is in the room is the caller's to send.
  bool take() noexcept { return move(State::held, State::taken); }
  // After claim() or take(): so many bytes of what is in the room have gone, all if no error.
  void settle(std::size_t written, std::error_code error) noexcept;

  // The sweep's. False: it has to look here again.
  bool try_unwatch() noexcept;
  bool waits() const noexcept { return state_.load(std::memory_order_relaxed) == State::held; }
  // Whether the sweep has to be told to look here, since the last time. The connection's goroutine.
  bool take_wants_watch() noexcept { return std::exchange(wants_watch_, false); }

  // Of a write that failed; empty otherwise.
  std::error_code error() const noexcept;
  // Responses that did not leave whole. The connection's goroutine, with nothing held.
  std::uint32_t lost() const noexcept { return lost_; }

  Mutex turn;  // one at a time sends in the connection's stead

 private:
  enum class State : std::uint8_t { unwatched, none, mine, held, taken, failed };

  bool move(State from, State to) noexcept {
    return state_.compare_exchange_strong(from, to, std::memory_order_acq_rel,
                                          std::memory_order_acquire);
  }

  std::atomic<State> state_{State::unwatched};
  bool wants_watch_ = false;
  std::uint32_t lost_ = 0;
  HeldRoom* room_ = nullptr;
  std::error_code error_;  // stored before `failed`
};

// From claim() or take() on: the room is given up again, come what may. What an exception leaves
// behind has failed: nobody knows how much of it has gone, and a room that stayed ours would be
// waited for for ever, or sent to the next client.
class HeldOutput::Turn {
 public:
  explicit Turn(HeldOutput& held) noexcept : held_(&held) {}
  ~Turn() {
    if (held_) held_->settle(0, std::make_error_code(std::errc::not_enough_memory));
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  void settle(std::size_t written, std::error_code error) noexcept {
    std::exchange(held_, nullptr)->settle(written, error);
  }
  void offer() noexcept { std::exchange(held_, nullptr)->offer(); }

 private:
  HeldOutput* held_;
};

}  // namespace treadle::http::detail
