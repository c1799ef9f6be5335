// Watch: the latest value of something, and word when it changes.
//
//   treadle::WatchSender<Config> config(load());
//   treadle::go([rx = config.subscribe()]() mutable {
//     while (rx.changed()) apply(rx.get());   // until the senders are gone
//   });
//   config.set(load());
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include <treadle/context.h>
#include <treadle/mutex.h>
#include <treadle/result.h>

namespace treadle {

namespace detail {

struct WatchCell;  // core/src/watch.cpp

// The counted ends of a cell, without the type of its value.
class WatchTx {
 public:
  explicit WatchTx(std::shared_ptr<const void> initial);
  WatchTx(const WatchTx& o) noexcept;
  WatchTx(WatchTx&& o) noexcept = default;
  WatchTx& operator=(WatchTx o) noexcept;
  ~WatchTx();

  void set(std::shared_ptr<const void> value) const;
  std::shared_ptr<const void> value() const noexcept;
  Mutex& updating() const noexcept;
  Result<void> unwatched(const Context* ctx) const;
  std::size_t receivers() const noexcept;
  const std::shared_ptr<WatchCell>& cell() const noexcept { return cell_; }

 private:
  std::shared_ptr<WatchCell> cell_;
};

class WatchRx {
 public:
  explicit WatchRx(const std::shared_ptr<WatchCell>& cell) noexcept;
  WatchRx(const WatchRx& o) noexcept;
  WatchRx(WatchRx&& o) noexcept = default;
  WatchRx& operator=(WatchRx o) noexcept;
  ~WatchRx();

  Result<void> changed(const Context* ctx);
  bool has_changed() const noexcept;
  std::shared_ptr<const void> value() const noexcept;
  std::shared_ptr<const void> value_seen() noexcept;

 private:
  std::shared_ptr<WatchCell> cell_;
  std::uint64_t seen_ = 0;  // version
};

}  // namespace detail

// One receiver of a Watch; a copy watches on its own from where this one stands. One goroutine or
// thread uses it at a time.
template <class T>
class WatchReceiver {
 public:
  // Waits until a value was set that this receiver has not seen, and counts it as seen; several
  // changes may be merged into one. Error: `closed`, the senders are gone and nothing is unseen.
  // Parks the calling G; on a plain thread it blocks that thread.
  Result<void> changed() { return rx_.changed(nullptr); }
  // The same, unless `ctx` is done first: then `canceled` or `timed_out`.
  Result<void> changed(const Context& ctx) { return rx_.changed(&ctx); }
  // True when changed() would not wait for a value. Never parks.
  bool has_changed() const noexcept { return rx_.has_changed(); }

  // The latest value, shared: it stays as it is, whatever is set later. Never parks. What is seen
  // by changed() is not affected.
  std::shared_ptr<const T> borrow() const noexcept {
    return std::static_pointer_cast<const T>(rx_.value());
  }
  // The same, and counts it as seen: changed() then waits for a later one.
  std::shared_ptr<const T> borrow_and_update() noexcept {
    return std::static_pointer_cast<const T>(rx_.value_seen());
  }
  // A copy of the latest value. Never parks.
  T get() const
    requires std::copy_constructible<T>
  {
    return *borrow();
  }

 private:
  template <class U>
  friend class WatchSender;
  explicit WatchReceiver(const std::shared_ptr<detail::WatchCell>& cell) noexcept : rx_(cell) {}

  detail::WatchRx rx_;
};

// A handle on the sending side, cheap to copy. When the last one goes, receivers get `closed` once
// they have seen the last value; borrow() goes on working. Safe to use from any goroutine or
// thread.
template <class T>
class WatchSender {
 public:
  explicit WatchSender(T initial) : tx_(std::make_shared<const T>(std::move(initial))) {}

  // Replaces the value and wakes those who wait for a change, also when it is equal. Works without
  // receivers. Never parks.
  void set(T v) const { tx_.set(std::make_shared<const T>(std::move(v))); }
  // Calls `f` on a copy of the value and sets that; of several update() calls one runs at a time,
  // so that none is lost (set() may come in between). An exception of `f` leaves it unchanged.
  // `f` must not call update() on the same Watch: it would wait for itself.
  // May park the calling G; on a plain thread it may block that thread.
  template <std::invocable<T&> F>
    requires std::copy_constructible<T>
  void update(F&& f) const {
    const std::lock_guard one_at_a_time(tx_.updating());
    T v = *borrow();
    std::forward<F>(f)(v);
    set(std::move(v));
  }

  // As the receiver's. Never park.
  std::shared_ptr<const T> borrow() const noexcept {
    return std::static_pointer_cast<const T>(tx_.value());
  }
  T get() const
    requires std::copy_constructible<T>
  {
    return *borrow();
  }

  // A new receiver; the present value counts as seen. Never parks.
  WatchReceiver<T> subscribe() const { return WatchReceiver<T>(tx_.cell()); }
  std::size_t receivers() const noexcept { return tx_.receivers(); }
  // Waits until there is no receiver: nobody wants the value any more.
  // Parks the calling G; on a plain thread it blocks that thread.
  void unwatched() const { (void)tx_.unwatched(nullptr); }
  // The same, unless `ctx` is done first: then `canceled` or `timed_out`.
  Result<void> unwatched(const Context& ctx) const { return tx_.unwatched(&ctx); }

 private:
  detail::WatchTx tx_;
};

}  // namespace treadle
