// Hints that a call may block the thread.
//
//   auto rows = treadle::blocking([&] { return PQexec(db, sql); });
//
// A goroutine that blocks without a hint loses its P too, only later (after about 10 ms instead
// of 20 us). Socket I/O, sleep, channels and locks of treadle need no hint: they park.
#pragma once

#include <cstdint>
#include <utility>

namespace treadle {

namespace detail {
// Out of line, so that no thread_local address is computed in the caller's code.
bool blocking_begin() noexcept;  // false: nothing to end (a nested hint, a plain thread)
void blocking_end() noexcept;
enum class LongHint : std::uint8_t { none, plain, given_away };  // none: as false above
LongHint blocking_begin_long() noexcept;
void blocking_end_long(LongHint hint) noexcept;

struct BlockingScope {
  BlockingScope() noexcept : begun(blocking_begin()) {}
  ~BlockingScope() {
    if (begun) blocking_end();
  }
  BlockingScope(const BlockingScope&) = delete;
  BlockingScope& operator=(const BlockingScope&) = delete;
  const bool begun;
};
struct LongBlockingScope {
  LongBlockingScope() noexcept : hint(blocking_begin_long()) {}
  ~LongBlockingScope() { blocking_end_long(hint); }
  LongBlockingScope(const LongBlockingScope&) = delete;
  LongBlockingScope& operator=(const LongBlockingScope&) = delete;
  const LongHint hint;
};
}  // namespace detail

// Calls `f` and returns what it returns. While it runs the P may be taken away, after 20 us when
// other work waits; costs a few nanoseconds when it is not. `f` stays on its thread, errno and
// thread_locals included, and must not call a parking function of treadle.
// Blocks the M, never the P; when RuntimeOptions::max_blocking calls have lost their P already,
// parks the calling G before the call until its turn comes, and may go on on another thread then.
// Usable from any thread.
template <class F>
decltype(auto) blocking(F&& f) {
  detail::BlockingScope scope;
  return std::forward<F>(f)();
}

// The same for a call known to take long (a child's exit, a name look-up): the P is given away
// before the call, which costs some microseconds when other work waits.
template <class F>
decltype(auto) blocking_long(F&& f) {
  detail::LongBlockingScope scope;
  return std::forward<F>(f)();
}

}  // namespace treadle
