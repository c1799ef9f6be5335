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
  void* closure = nullptr;  // where its closure goes, on its own stack
};
using EntryFn = void (*)(void* closure);

NewGoroutine new_goroutine(std::size_t size, std::size_t align);
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

// Closures larger than this go to the heap; smaller ones live on the new stack.
inline constexpr std::size_t kMaxInlineClosure = 4096;

}  // namespace detail

// Starts a goroutine that calls `f` and returns at once. `f` is copied or moved into the new
// goroutine; use references only where something (a WaitGroup, a TaskGroup) makes them outlive it.
// An exception that leaves `f` ends the process with the goroutine's stack, as in Go.
// The new goroutine's current Context is background.
// Never parks; any thread. Out of memory for a stack is fatal, with a report.
template <class F>
  requires std::invocable<std::decay_t<F>&>
void go(F&& f, std::source_location site = std::source_location::current()) {
  using Fn = std::decay_t<F>;
  if constexpr (sizeof(Fn) <= detail::kMaxInlineClosure) {
    detail::NewGoroutine n = detail::new_goroutine(sizeof(Fn), alignof(Fn));
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
