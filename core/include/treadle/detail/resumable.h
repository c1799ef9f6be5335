// Goroutines that hold no stack while they wait for a descriptor: the server's connections between
// requests. Not for applications.
//
//   try_go_resumable([c = std::move(connection)]() -> const Pollable* {
//     while (c->step() != over)
//       if (const Pollable* p = c->awaits()) return p;   // called again once `p` may be read
//     return nullptr;                                     // the goroutine ends
//   });
//
// All that is to be kept over the wait lies in the callable, which stays in the goroutine. The
// goroutine keeps its id, name, labels and locals; its stack goes to whoever needs one next, and
// what runs it again gives it a warm one. Where none can be had it waits in the queue until there
// is.
#pragma once

#include <concepts>
#include <memory>
#include <new>
#include <source_location>
#include <type_traits>
#include <utility>

#include <treadle/detail/poll_desc.h>
#include <treadle/go.h>

namespace treadle::detail {

template <class F>
rt::PollDesc* resumable_entry(void* closure) {
  F* f = std::launder(static_cast<F*>(closure));
  if (const Pollable* awaited = (*f)()) return awaited->desc();
  std::destroy_at(f);
  return nullptr;
}

// Starts a goroutine that calls `f`, and again whenever the read side of the descriptor that `f`
// returned may be ready, was closed, or its deadline has passed; null ends it. Spurious calls
// happen. The descriptor must stay until `f` is called again, and nobody else may wait for its read
// side. `f` must fit into the G. The current Context does not end such a wait. False: there is no
// memory for its first stack, and `f` is not called. Never parks; any thread.
template <class F>
  requires std::is_invocable_r_v<const Pollable*, std::decay_t<F>&>
[[nodiscard]] bool try_go_resumable(F&& f,
                                    std::source_location site = std::source_location::current()) {
  using Fn = std::decay_t<F>;
  static_assert(sizeof(Fn) <= kMaxInlineClosure && alignof(Fn) <= 8);
  const NewGoroutine n = new_goroutine(0, StackWhen::now);
  if (n.g == nullptr) return false;
  try {
    ::new (n.closure) Fn(std::forward<F>(f));
  } catch (...) {
    abandon_goroutine(n);
    throw;
  }
  start_goroutine(n, &resumable_entry<Fn>, site);
  return true;
}

}  // namespace treadle::detail
