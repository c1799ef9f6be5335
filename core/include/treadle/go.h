// Goroutines.
//
//   treadle::go([jobs] { jobs.send(42); });   // handles are cheap to copy
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <source_location>
#include <type_traits>
#include <utility>

namespace treadle {

namespace detail {

struct NewGoroutine {
  void* g = nullptr;        // the runtime's G, not yet runnable
  void* closure = nullptr;  // where its closure goes, in the G
};
using EntryFn = void (*)(void* closure);

// When a goroutine gets its stack: as a rule when it first runs, so that many that are short share
// few; or at once, where the lack of one must be known. Then `g` is null.
enum class StackWhen : bool { first_run, now };

// `stack_size`: 0 for the default.
NewGoroutine new_goroutine(std::size_t stack_size, StackWhen when);
void start_goroutine(NewGoroutine n, EntryFn entry, const std::source_location& site) noexcept;
void abandon_goroutine(NewGoroutine n) noexcept;

template <class F>
void goroutine_entry(void* closure) {
  // Moved out, so that the callable's destructor runs before the goroutine ends, as a local's.
  F* stored = std::launder(static_cast<F*>(closure));
  struct Destroy {
    F* f;
    ~Destroy() { f->~F(); }
  } destroy{stored};
  (*stored)();
}

// Closures larger than this go to the heap; smaller ones live in the G.
inline constexpr std::size_t kMaxInlineClosure = 104;

}  // namespace detail

// Starts a goroutine that calls `f` and returns at once. `f` is copied or moved into the new
// goroutine; use references only where something (a WaitGroup, a TaskGroup) makes them outlive it.
// An exception that leaves `f` ends the process with the goroutine's stack, as in Go.
// The new goroutine's current Context is background.
// Never parks; any thread. It gets a stack when it first runs; out of memory for one is fatal, with
// a report (spawn() makes an error of it).
template <class F>
  requires std::invocable<std::decay_t<F>&>
void go(F&& f, std::source_location site = std::source_location::current()) {
  using Fn = std::decay_t<F>;
  if constexpr (sizeof(Fn) <= detail::kMaxInlineClosure && alignof(Fn) <= 8) {
    const detail::NewGoroutine n = detail::new_goroutine(0, detail::StackWhen::first_run);
    try {
      ::new (n.closure) Fn(std::forward<F>(f));
    } catch (...) {
      detail::abandon_goroutine(n);
      throw;
    }
    detail::start_goroutine(n, &detail::goroutine_entry<Fn>, site);
  } else {
    go([boxed = std::make_unique<Fn>(std::forward<F>(f))] { (*boxed)(); }, site);
  }
}

// Lets other goroutines run; the caller goes to the end of its P's queue.
// Yields the calling G, which may resume on another thread; on a plain thread sched_yield.
void gosched();

// The calling goroutine's id, never reused; 0 on a plain thread. Never parks.
std::uint64_t goroutine_id() noexcept;

}  // namespace treadle
