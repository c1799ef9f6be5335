// A timer for deadlines that are set for every request and almost never pass.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include <treadle/mutex.h>
#include <treadle/ticker.h>
#include <treadle/timer.h>

namespace treadle::http::detail {

// Calls a function, in a goroutine of its own, once the deadline has passed. Setting one costs a
// store where the timer runs already and is due before: it looks again then. So a connection's
// timer fires once per time-out's length, not once per request. Deadlines are kept to the
// millisecond.
//
// Each deadline has a tag, which says whose it is and is handed to the function: deadline and tag
// are one word, so that a deadline that passes just as the next request begins is never taken for
// that one's.
//
// Protocol. `wanted` is the deadline, `armed` when the timer will look next. set() stores the one,
// then looks at the other; the timer's goroutine stores `armed`, then looks at `wanted` again (all
// sequentially consistent): one of the two sees the other, so no deadline is slept over. Arming,
// and the whole of look(), are done under `lock`: only one of them moves the timer.
class LazyTimer {
 public:
  static constexpr int kTagBits = 24;
  using Tag = std::uint32_t;  // below 2^24
  // Called under the lock, the deadline gone; may set another by again(). It must keep alive, or
  // check for, whatever it touches.
  using Expired = std::function<void(Tag)>;

  explicit LazyTimer(Expired expired) : state_(std::make_shared<State>()) {
    state_->expired = std::move(expired);
  }
  ~LazyTimer() { stop(); }
  LazyTimer(const LazyTimer&) = delete;
  LazyTimer& operator=(const LazyTimer&) = delete;

  // One goroutine at a time. Parks only where the timer must be armed while `expired` runs.
  void set(Deadline d, Tag tag);
  // For `expired` alone.
  void again(Deadline d, Tag tag) noexcept { state_->wanted.store(word(d, tag)); }
  void clear() noexcept {
    if (state_->wanted.load(std::memory_order_relaxed) != kNone) state_->wanted.store(kNone);
  }
  Deadline deadline() const noexcept;
  // No call begins after it; one may still be running, even be the one that destroys this. Never
  // parks.
  void stop() noexcept;
  // Parks until no call is running.
  void wait_for_call() { const std::lock_guard guard(state_->lock); }

 private:
  using Word = std::uint64_t;  // milliseconds of the clock above, the tag below
  static constexpr Word kNone = ~Word{0};

  struct State {
    std::atomic<Word> wanted{kNone};
    std::atomic<Word> armed{kNone};
    std::atomic<bool> stopped{false};
    Mutex lock;   // protects the timer, and is held over `expired`
    Timer timer;  // its closure holds this state: dropped once stopped
    Expired expired;
  };
  static Word word(Deadline d, Tag tag) noexcept;
  static Deadline time_of(Word w) noexcept;
  static void arm(const std::shared_ptr<State>& s, Word w);
  static void look(const std::shared_ptr<State>& s);
  static bool settle(const std::shared_ptr<State>& s);
  static void drop_if_stopped(State& s) noexcept;

  const std::shared_ptr<State> state_;
};

}  // namespace treadle::http::detail
