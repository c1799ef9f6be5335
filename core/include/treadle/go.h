// Goroutines.
//
//   treadle::go([jobs] { jobs.send(42); });   // handles are cheap to copy
//   treadle::go([] { accept_loop(); }, {.name = "acceptor"});
//
// One whose result somebody waits for is started by spawn(): see task.h.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace treadle {

namespace rt {
struct PollDesc;
}

// Keys and values that mark a goroutine and those it starts: see labels.h.
using Labels = std::vector<std::pair<std::string, std::string>>;

// What can be chosen for one goroutine. Everything has a default.
struct GoOptions {
  // Shown in dumps beside the id. It is not inherited.
  std::string name{};
  // Added to those inherited from the goroutine that starts this one.
  Labels labels{};
  // Bytes of address space for its stack, 64 KiB to 64 MiB, rounded up to a power of two; anything
  // else panics with the value. 0: RuntimeOptions::stack_size.
  std::size_t stack_size = 0;
};

namespace detail {

struct NewGoroutine {
  void* g = nullptr;        // the runtime's G, not yet runnable
  void* closure = nullptr;  // where its closure goes, in the G
};
// Null: the goroutine is over. Else it waits until that descriptor may be read, without a stack,
// and is called again: see resumable.h.
using EntryFn = rt::PollDesc* (*)(void* closure);

// When a goroutine gets its stack: as a rule when it first runs, so that many that are short share
// few; or at once, where the lack of one must be known. Then `g` is null.
enum class StackWhen : bool { first_run, now };

// `stack_size`: 0 for the default; anything else out of range panics.
NewGoroutine new_goroutine(std::size_t stack_size, StackWhen when);
// Between the two calls around it. May throw; the goroutine is then to be abandoned.
void set_options(NewGoroutine n, GoOptions&& options);
void start_goroutine(NewGoroutine n, EntryFn entry, const std::source_location& site) noexcept;
void abandon_goroutine(NewGoroutine n) noexcept;

template <class F>
rt::PollDesc* goroutine_entry(void* closure) {
  // Moved out, so that the callable's destructor runs before the goroutine ends, as a local's.
  F* stored = std::launder(static_cast<F*>(closure));
  struct Destroy {
    F* f;
    ~Destroy() { f->~F(); }
  } destroy{stored};
  (*stored)();
  return nullptr;
}

// Closures larger than this go to the heap; smaller ones live in the G.
inline constexpr std::size_t kMaxInlineClosure = 104;

// False: out of memory, which only StackWhen::now returns from.
template <class F>
bool start(F&& f, GoOptions* options, StackWhen when, const std::source_location& site) {
  using Fn = std::decay_t<F>;
  if constexpr (sizeof(Fn) <= kMaxInlineClosure && alignof(Fn) <= 8) {
    const NewGoroutine n = new_goroutine(options ? options->stack_size : 0, when);
    if (!n.g) return false;
    try {
      if (options) set_options(n, std::move(*options));
      ::new (n.closure) Fn(std::forward<F>(f));
    } catch (...) {
      abandon_goroutine(n);
      throw;
    }
    start_goroutine(n, &goroutine_entry<Fn>, site);
    return true;
  } else {
    return start([boxed = std::make_unique<Fn>(std::forward<F>(f))] { (*boxed)(); }, options, when,
                 site);
  }
}

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
  detail::start(std::forward<F>(f), nullptr, detail::StackWhen::first_run, site);
}
template <class F>
  requires std::invocable<std::decay_t<F>&>
void go(F&& f, GoOptions options, std::source_location site = std::source_location::current()) {
  detail::start(std::forward<F>(f), &options, detail::StackWhen::first_run, site);
}

// The same with its stack taken at once: false, and `f` is not called, where there is no memory for
// one. For servers, which outlive a shortage. Never parks; any thread.
template <class F>
  requires std::invocable<std::decay_t<F>&>
[[nodiscard]] bool try_go(F&& f, std::source_location site = std::source_location::current()) {
  return detail::start(std::forward<F>(f), nullptr, detail::StackWhen::now, site);
}

// Lets other goroutines run; the caller goes to the end of its P's queue.
// Yields the calling G, which may resume on another thread; on a plain thread sched_yield.
void gosched();

// The calling goroutine's id, never reused; 0 on a plain thread. Never parks.
std::uint64_t goroutine_id() noexcept;

}  // namespace treadle
