// What select() makes of its cases; not for applications.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include <treadle/chan.h>
#include <treadle/context.h>

namespace treadle::detail {

enum class SelectKind : std::uint8_t {
  never,
  recv,
  send,
  done,
  timeout,    // `when` is relative
  deadline,   // `when` is a time of the Clock
  otherwise,  // on_default
};

// A case as the algorithm in select.cpp sees it.
struct SelectOp {
  SelectKind kind = SelectKind::never;
  bool elements_only = false;           // recv: a closed channel is of no interest
  rt::Hchan* ch = nullptr;              // recv, send; null: nil
  void* element = nullptr;              // send: the value; recv: a slot to be filled
  rt::ContextState* context = nullptr;  // done; null: background
  std::int64_t when = 0;                // timeout, deadline; nanoseconds

  // The algorithm's own, while it runs. `room` is for the node by which the case waits.
  bool ready = false;
  bool registered = false;
  alignas(8) std::byte room[64];

  SelectOp() noexcept {}  // leaves room as it is
  SelectOp(SelectKind k, rt::Hchan* channel, void* at) noexcept
      : kind(k), ch(channel), element(at) {}
  SelectOp(SelectKind k, rt::ContextState* ctx, std::int64_t time) noexcept
      : kind(k), context(ctx), when(time) {}
};

struct Selected {
  std::size_t index;
  bool ok;  // send, recv: an element has moved; false for a recv: closed
};

// `order` has room for ops.size() numbers.
Selected select_run(std::span<SelectOp> ops, std::uint32_t* order);

struct CaseTag {};
// Rvalues only: a case borrows what it was made of.
template <class C>
concept SelectArgument =
    !std::is_lvalue_reference_v<C> && std::derived_from<std::remove_cvref_t<C>, CaseTag>;

struct NoHandler {
  void operator()() const noexcept {}
};

// Each case below has: op(), what the algorithm is to do; finish(), called after it when the case
// was taken, outside the runtime; Owning, the same case without references to its arguments, made
// of an rvalue of it; retain() and release() of what it shares.

template <class T, class F>  // F is a reference for a handler given as an lvalue
class RecvCase : public CaseTag {
  static constexpr bool kOptional = std::invocable<F&, std::optional<T>>;
  // Not asked of generic lambdas: their body would be compiled for T.
  static constexpr bool kElement = [] {
    if constexpr (kOptional)
      return false;
    else
      return std::invocable<F&, T>;
  }();
  static_assert(kOptional || kElement || std::invocable<F&>,
                "an on_recv handler takes std::optional<T>, T or nothing");

 public:
  using Owning = RecvCase<T, std::decay_t<F>>;
  static constexpr bool kIsDefault = false;

  RecvCase(rt::Hchan* ch, F&& f) : ch_(ch), f_(std::forward<F>(f)) {}
  RecvCase(const RecvCase&) = delete;
  RecvCase& operator=(const RecvCase&) = delete;
  template <class G>
  explicit RecvCase(RecvCase<T, G>&& o) : ch_(o.ch_), f_(std::forward<G>(o.f_)) {}

  SelectOp op() noexcept {
    SelectOp op(SelectKind::recv, ch_, slot_.bytes);
    op.elements_only = kElement;
    return op;
  }
  void finish(bool ok) {
    if constexpr (kOptional) {
      std::optional<T> v;
      if (ok) v.emplace(slot_.take());
      std::invoke(f_, std::move(v));
    } else if constexpr (kElement) {
      std::invoke(f_, slot_.take());  // `ok` always: elements_only
    } else {
      if (ok) (void)slot_.take();
      std::invoke(f_);
    }
  }
  void retain() noexcept { chan_retain(ch_); }
  void release() noexcept { chan_release(ch_); }

 private:
  template <class, class>
  friend class RecvCase;
  rt::Hchan* ch_;
  F f_;
  Slot<T> slot_;
};

template <class T, class Held, class F>  // Held is T, or T&& to what outlives the call
class SendCase : public CaseTag {
  static_assert(std::invocable<F&>, "an on_send handler takes nothing");

 public:
  using Owning = SendCase<T, T, std::decay_t<F>>;
  static constexpr bool kIsDefault = false;

  template <class V>
  SendCase(rt::Hchan* ch, V&& value, F&& f)
      : ch_(ch), value_(std::forward<V>(value)), f_(std::forward<F>(f)) {}
  SendCase(const SendCase&) = delete;
  SendCase& operator=(const SendCase&) = delete;
  template <class H, class G>
  explicit SendCase(SendCase<T, H, G>&& o)
      : ch_(o.ch_), value_(std::forward<T>(o.value_)), f_(std::forward<G>(o.f_)) {}

  SelectOp op() noexcept {
    return {sent_ ? SelectKind::never : SelectKind::send, ch_, std::addressof(value_)};
  }
  void finish(bool) {
    sent_ = true;
    std::invoke(f_);
  }
  void retain() noexcept { chan_retain(ch_); }
  void release() noexcept { chan_release(ch_); }

 private:
  template <class, class, class>
  friend class SendCase;
  rt::Hchan* ch_;
  Held value_;
  F f_;
  bool sent_ = false;
};

template <SelectKind K, class F>  // neither sends nor receives
class PlainCase : public CaseTag {
  static_assert(std::invocable<F&>, "the handler of this case takes nothing");

 public:
  using Owning = PlainCase<K, std::decay_t<F>>;
  static constexpr bool kIsDefault = K == SelectKind::otherwise;

  PlainCase(rt::ContextState* context, std::int64_t when, F&& f)
      : context_(context), when_(when), f_(std::forward<F>(f)) {}
  PlainCase(const PlainCase&) = delete;
  PlainCase& operator=(const PlainCase&) = delete;
  template <class G>
  explicit PlainCase(PlainCase<K, G>&& o)
      : context_(o.context_), when_(o.when_), f_(std::forward<G>(o.f_)) {}

  SelectOp op() noexcept { return {K, context_, when_}; }
  void finish(bool) { std::invoke(f_); }
  void retain() noexcept { rt::context_retain(context_); }
  void release() noexcept { rt::context_release(context_); }

 private:
  template <SelectKind, class>
  friend class PlainCase;
  rt::ContextState* context_;
  std::int64_t when_;
  F f_;
};

// A case that has outlived the call it was made in.
class AnyCase {
 public:
  virtual ~AnyCase() = default;
  virtual SelectOp op() noexcept = 0;
  virtual void finish(bool ok) = 0;
};

template <class C>
class OwnedCase final : public AnyCase {
 public:
  template <class From>
  explicit OwnedCase(From&& from) : case_(std::forward<From>(from)) {
    case_.retain();
  }
  ~OwnedCase() override { case_.release(); }
  OwnedCase(const OwnedCase&) = delete;
  OwnedCase& operator=(const OwnedCase&) = delete;
  SelectOp op() noexcept override { return case_.op(); }
  void finish(bool ok) override { case_.finish(ok); }

 private:
  C case_;
};

}  // namespace treadle::detail
