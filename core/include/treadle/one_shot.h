// OneShot: one value handed over once, completed from any thread: the bridge to callback APIs.
//
//   auto [sender, receiver] = treadle::make_one_shot<Row>();
//   db.query(sql, [sender](Row row) { sender.send(std::move(row)); });   // some library's thread
//   treadle::Result<Row> row = receiver.wait(ctx);                       // parks the goroutine
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <treadle/context.h>
#include <treadle/detail/lock.h>
#include <treadle/result.h>

namespace treadle {

namespace rt {
struct Waiter;
}

namespace detail {

// Everything but the payload, which belongs to whoever claim()ed until publish(), then to the
// receiver. The states and their owners stand in one_shot.cpp.
class OneShotCore {
 public:
  enum class End { done, broken, pending, context_done, taken };

  OneShotCore() = default;
  OneShotCore(const OneShotCore&) = delete;
  OneShotCore& operator=(const OneShotCore&) = delete;

  void add_sender() noexcept { senders_.fetch_add(1, std::memory_order_relaxed); }
  void drop_sender() noexcept;  // the last one without a value breaks it
  // True: the caller alone stores the payload now, then calls publish(), or unclaim() if it cannot.
  bool claim() noexcept;
  bool publish() noexcept;  // false: the receiver has gone; the payload is the caller's to drop
  void unclaim() noexcept;
  bool abandoned() noexcept;

  // `done` and `broken` come once: afterwards it is `taken`.
  End take(bool may_park, const Context* ctx);
  bool ready() noexcept;
  bool drop_receiver() noexcept;  // true: there is a payload for the caller to drop

 private:
  enum class State : unsigned char { pending, claimed, done, broken, taken };
  End settle(State s) noexcept;

  std::atomic<std::size_t> senders_{1};
  rt::Lock lock_;  // protects what follows
  State state_ = State::pending;
  bool receiver_gone_ = false;
  rt::Waiter* head_ = nullptr;  // the receiver's, at most one
  rt::Waiter* tail_ = nullptr;
};

[[noreturn]] void one_shot_misuse(const char* what);

template <class T>
struct OneShotState : OneShotCore {
  std::optional<Result<T>> value;
  std::exception_ptr exception;
};

}  // namespace detail

template <class T>
struct OneShot;
template <class T>
OneShot<T> make_one_shot();

// The completing side: a handle, cheap to copy, so that a copyable callback may hold one. The first
// completion counts. When the last handle goes without any, the receiver gets Errc::broken.
// No function parks; all may be called from any thread, one the runtime has never seen included,
// and at the same time. Not from a signal handler.
template <class T>
class OneShotSender {
 public:
  OneShotSender(const OneShotSender& o) noexcept : state_(o.state_) {
    if (state_) state_->add_sender();
  }
  OneShotSender(OneShotSender&& o) noexcept = default;
  OneShotSender& operator=(OneShotSender o) noexcept {
    std::swap(state_, o.state_);
    return *this;
  }
  ~OneShotSender() {
    if (state_) state_->drop_sender();
  }

  // Completes with a value; for T = void without one. False: it was completed before, or the
  // receiver has gone; the value is dropped then. An exception of T's move goes to the caller, and
  // nothing is completed.
  template <class U = T>
    requires(!std::is_void_v<T> && std::is_constructible_v<Result<T>, U &&>)
  bool send(U&& v) const {
    return complete([&](auto& s) { s.value.emplace(std::forward<U>(v)); });
  }
  bool send() const
    requires std::is_void_v<T>
  {
    return complete([](auto& s) { s.value.emplace(); });
  }
  // Completes with an error: wait() returns it. `error` must not be empty (panics).
  bool fail(std::error_code error) const {
    if (!error) detail::one_shot_misuse("treadle::OneShotSender::fail: an error of value 0");
    return complete([&](auto& s) { s.value.emplace(std::unexpected(error)); });
  }
  bool fail(Errc error) const { return fail(make_error_code(error)); }
  // Completes with an exception: wait() rethrows it. Null panics.
  bool fail(std::exception_ptr thrown) const {
    if (!thrown) detail::one_shot_misuse("treadle::OneShotSender::fail: a null exception_ptr");
    return complete([&](auto& s) { s.exception = std::move(thrown); });
  }
  // True once the receiver has gone: the work need not be done any more.
  bool abandoned() const noexcept { return state_->abandoned(); }

 private:
  template <class U>
  friend OneShot<U> make_one_shot();
  explicit OneShotSender(std::shared_ptr<detail::OneShotState<T>> s) noexcept
      : state_(std::move(s)) {}

  template <class Store>
  bool complete(Store store) const {
    if (!state_) detail::one_shot_misuse("treadle::OneShotSender: used after it was moved from");
    detail::OneShotState<T>& s = *state_;
    if (!s.claim()) return false;
    try {
      store(s);
    } catch (...) {
      s.unclaim();
      throw;
    }
    if (s.publish()) return true;
    s.value.reset();
    s.exception = nullptr;
    return false;
  }

  std::shared_ptr<detail::OneShotState<T>> state_;  // null once moved from
};

// The receiving side; move-only. One goroutine or thread uses it at a time. It may go at any time:
// a value that was not taken is destroyed.
template <class T>
class OneShotReceiver {
 public:
  OneShotReceiver(OneShotReceiver&& o) noexcept = default;
  OneShotReceiver& operator=(OneShotReceiver&& o) noexcept {
    OneShotReceiver old(std::move(o));  // what stood here goes now
    std::swap(state_, old.state_);
    return *this;
  }
  ~OneShotReceiver() {
    if (state_ && state_->drop_receiver()) {
      state_->value.reset();
      state_->exception = nullptr;
    }
  }

  // Waits for the completion: the value, or the error it was completed with, or Errc::broken when
  // the last sender went without any. Rethrows what came as an exception. Comes once: a further
  // call panics.
  // Parks the calling G; on a plain thread it blocks that thread.
  Result<T> wait() { return *take(true, nullptr); }
  // The same, unless `ctx` is done first: then `canceled` or `timed_out`, and wait() may be called
  // again. What is there already counts before the context.
  Result<T> wait(const Context& ctx) {
    if (auto r = take(true, &ctx)) return std::move(*r);
    return treadle::fail(ctx.error());
  }
  // What wait() would give, if it is there; else empty. Never parks.
  std::optional<Result<T>> try_take() { return take(false, nullptr); }
  // True when wait() would not wait. Never parks.
  bool ready() const noexcept { return state_->ready(); }

 private:
  template <class U>
  friend OneShot<U> make_one_shot();
  explicit OneShotReceiver(std::shared_ptr<detail::OneShotState<T>> s) noexcept
      : state_(std::move(s)) {}

  std::optional<Result<T>> take(bool may_park, const Context* ctx) {
    switch (state_->take(may_park, ctx)) {
      case detail::OneShotCore::End::done: break;
      case detail::OneShotCore::End::broken: return treadle::fail(Errc::broken);
      case detail::OneShotCore::End::taken:
        detail::one_shot_misuse("treadle::OneShotReceiver: the value was taken before");
      default: return {};
    }
    if (state_->exception)
      std::rethrow_exception(std::exchange(state_->exception, std::exception_ptr()));
    std::optional<Result<T>> r = std::move(state_->value);
    state_->value.reset();
    return r;
  }

  std::shared_ptr<detail::OneShotState<T>> state_;
};

template <class T>
struct OneShot {
  OneShotSender<T> sender;
  OneShotReceiver<T> receiver;
};

// A new pair; T may be void, and move-only. Never parks; any thread.
template <class T>
OneShot<T> make_one_shot() {
  auto state = std::make_shared<detail::OneShotState<T>>();
  return {OneShotSender<T>(state), OneShotReceiver<T>(state)};
}

}  // namespace treadle
