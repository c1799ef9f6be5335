// A timer for deadlines that are set for every request and almost never pass.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

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
// Protocol. `wanted_` is the deadline, `armed_` when the timer will look next. set() stores the
// one, then looks at the other; the timer's goroutine stores `armed_`, then looks at `wanted_`
// again (all sequentially consistent): one of the two sees the other, so no deadline is slept over.
// Arming, and the whole of look(), are done under `lock_`: only one of them moves the timer.
//
// Lifetime. It lies in its owner, which the runtime's timer keeps alive from the first arming until
// stop(), so the owner must call that. A call that is running then keeps it until it has returned.
class LazyTimer {
 public:
  static constexpr int kTagBits = 24;
  using Tag = std::uint32_t;  // below 2^24
  class Owner {
   public:
    // Called under the lock, the deadline gone; may set another by again().
    virtual void deadline_passed(Tag tag) = 0;
    virtual std::shared_ptr<void> hold() = 0;  // of the owner itself

   protected:
    ~Owner() = default;
  };

  explicit LazyTimer(Owner& owner) noexcept : owner_(owner) {}
  LazyTimer(const LazyTimer&) = delete;
  LazyTimer& operator=(const LazyTimer&) = delete;

  // One goroutine at a time. Parks only where the timer must be armed while a call
  // runs.
  void set(Deadline d, Tag tag);
  // For deadline_passed() alone.
  void again(Deadline d, Tag tag) noexcept { wanted_.store(word(d, tag)); }
  void clear() noexcept {
    if (wanted_.load(std::memory_order_relaxed) != kNone) wanted_.store(kNone);
  }
  // The same at the price of a plain store, for who does not go on to look whether a call was
  // faster: a call that does not see it yet comes as if it had begun a moment before.
  void let_go() noexcept { wanted_.store(kNone, std::memory_order_release); }
  Deadline deadline() const noexcept;
  // No call begins after it; one may still be running, even be the one that does this. Never
  // parks.
  void stop() noexcept;
  // Parks until no call is running.
  void wait_for_call();

 private:
  using Word = std::uint64_t;  // milliseconds of the clock above, the tag below
  static constexpr Word kNone = ~Word{0};

  static Word word(Deadline d, Tag tag) noexcept;
  static Deadline time_of(Word w) noexcept;
  void arm(Word w);
  void look();
  bool settle();
  void drop_if_stopped() noexcept;

  Owner& owner_;
  std::atomic<Word> wanted_{kNone};
  std::atomic<Word> armed_{kNone};
  std::atomic<bool> stopped_{false};
  Mutex lock_;   // protects the timer, and is held over a call
  Timer timer_;  // its closure holds the owner: dropped once stopped
};

}  // namespace treadle::http::detail
