// select: waits for the first of several channel operations, contexts and points in time.
//
//   treadle::select(
//       treadle::on_recv(jobs, [&](int job) { work(job); }),
//       treadle::on_send(results, std::move(result), [&] { ++sent; }),
//       treadle::on_done(ctx, [&] { stop = true; }),
//       treadle::on_timeout(1s, [&] { idle(); }));
//
// Exactly one case is taken: one of those that are ready, each of them equally likely; when none
// is, the first to become so; with on_default, that instead of waiting. Then its handler runs on
// the calling goroutine, holding nothing of the runtime: it may do anything, another select too.
//
//   case         is ready                                             handler takes
//   on_recv      an element is there, or the channel is closed        see below
//   on_send      a receiver waits or the buffer has room, or the      nothing
//                channel is closed: taking it then panics
//   on_done      the context is done (never: the background)          nothing
//   on_timeout   that long after the call; at once when not positive  nothing
//   on_deadline  the deadline has passed                              nothing
//
// A handler of on_recv says by its parameter what it wants to know of closing:
//   std::optional<T>  is called with an empty one once the channel is closed and drained;
//   nothing           is called too, for an element (dropped) as for closing;
//   T                 wants elements only: once the channel is closed and drained, the case is out,
//                     as a nil channel's is. When that leaves a select without any case that could
//                     ever become ready, it panics instead of waiting for ever.
// (A generic lambda is called with the optional.) Handlers are optional, and what they return is
// dropped.
//
// Nil channels are never ready. One channel may stand in several cases, to send and to receive; a
// select does not meet itself. A select without cases, or with nil channels only, waits for ever.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include <treadle/chan.h>
#include <treadle/context.h>
#include <treadle/detail/select_case.h>

namespace treadle {

// Cases are for the call of select() they are made in: they borrow their channel and context.

template <class T, class F = detail::NoHandler>
[[nodiscard]] auto on_recv(const Chan<T>& ch, F&& f = {}) {
  return detail::RecvCase<T, F>(ch.state(), std::forward<F>(f));
}

// A temporary or moved `value` is moved from only when this case is taken, and else left as it was.
// One that has to be copied or converted for the channel is so before the select.
template <class T, class V, class F = detail::NoHandler>
  requires std::convertible_to<V, T>
[[nodiscard]] auto on_send(const Chan<T>& ch, V&& value, F&& f = {}) {
  using Held = std::conditional_t<std::same_as<V, T>, T&&, T>;
  return detail::SendCase<T, Held, F>(ch.state(), std::forward<V>(value), std::forward<F>(f));
}

template <class F = detail::NoHandler>
[[nodiscard]] auto on_done(const Context& ctx, F&& f = {}) {
  return detail::PlainCase<detail::SelectKind::done, F>(ctx.state(), 0, std::forward<F>(f));
}

template <class F = detail::NoHandler>
[[nodiscard]] auto on_timeout(Duration d, F&& f = {}) {
  return detail::PlainCase<detail::SelectKind::timeout, F>(nullptr, d.count(), std::forward<F>(f));
}

template <class F = detail::NoHandler>
[[nodiscard]] auto on_deadline(Deadline deadline, F&& f = {}) {
  return detail::PlainCase<detail::SelectKind::deadline, F>(
      nullptr, deadline.at().time_since_epoch().count(), std::forward<F>(f));
}

template <class F = detail::NoHandler>
[[nodiscard]] auto on_default(F&& f = {}) {
  return detail::PlainCase<detail::SelectKind::otherwise, F>(nullptr, 0, std::forward<F>(f));
}

// Takes one case, runs its handler and returns the case's place in the argument list, from 0.
// Parks the calling G until a case is ready; on a plain thread it blocks that thread. With
// on_default it never parks. Allocates nothing. What a handler throws comes out.
// Panics when it takes a send on a closed channel, also one that is closed during the wait.
// The current Context is not asked: on_done(current_context()) does.
template <detail::SelectArgument... Cases>
std::size_t select(Cases&&... cases) {
  static_assert((0 + ... + std::size_t{std::remove_cvref_t<Cases>::kIsDefault}) <= 1,
                "treadle::select: more than one on_default");
  std::array<detail::SelectOp, sizeof...(Cases)> ops{cases.op()...};
  std::array<std::uint32_t, sizeof...(Cases)> order;
  const detail::Selected taken = detail::select_run(ops, order.data());
  std::size_t i = 0;
  ((i++ == taken.index ? cases.finish(taken.ok) : void()), ...);
  return taken.index;
}

// One case of a list whose length is known only at run time. Made from what on_recv() and the
// others return; it shares their channel or context, and owns value and handler.
//
//   std::vector<treadle::SelectCase> cases;
//   for (auto& in : inputs) cases.emplace_back(treadle::on_recv(in, [&](int v) { sum += v; }));
//   cases.emplace_back(treadle::on_done(ctx));
//   while (treadle::select_any(cases) != inputs.size()) {}
//
// Move-only; an empty one is never ready. Not to be used by two select_any() at a time.
class SelectCase {
 public:
  SelectCase() noexcept = default;
  template <detail::SelectArgument C>
  SelectCase(C&& c)  // NOLINT(google-explicit-constructor): a list of cases is written as one
      : case_(std::make_unique<detail::OwnedCase<typename C::Owning>>(std::forward<C>(c))) {}

 private:
  friend std::size_t select_any(std::span<SelectCase> cases);
  std::unique_ptr<detail::AnyCase> case_;
};

// select() over `cases`, in place, to be called again and again; returns the index of the one
// taken. A send case whose value has gone is never ready again: replace it to send another.
// Parks as select() does; any number of cases up to 65,536, else it panics, as it does for more
// than one default. The handler must not change the list itself. Allocates for more than 16 cases.
std::size_t select_any(std::span<SelectCase> cases);

}  // namespace treadle
