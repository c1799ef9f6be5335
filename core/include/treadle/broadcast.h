// Broadcast: every receiver sees every value, out of a ring that holds the last few.
//
//   treadle::BroadcastSender<Event> events(256);
//   treadle::go([rx = events.subscribe()]() mutable {
//     for (;;) {
//       treadle::Result<Event> e = rx.recv();
//       if (e) handle(*e);
//       else if (e.error() == treadle::Errc::lagged) log_gap(rx.missed());
//       else break;   // closed
//     }
//   });
//   events.send(Event{...});
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include <treadle/context.h>
#include <treadle/result.h>

namespace treadle {

namespace detail {

struct BroadcastRing;  // core/src/broadcast.cpp

// The counted ends of a ring, without the type of its values.
class BroadcastTx {
 public:
  explicit BroadcastTx(std::int64_t capacity);
  BroadcastTx(const BroadcastTx& o) noexcept;
  BroadcastTx(BroadcastTx&& o) noexcept = default;
  BroadcastTx& operator=(BroadcastTx o) noexcept;
  ~BroadcastTx();

  Result<std::size_t> send(std::shared_ptr<const void> value) const;
  void close() const noexcept;
  std::size_t receivers() const noexcept;
  const std::shared_ptr<BroadcastRing>& ring() const noexcept { return ring_; }

 private:
  std::shared_ptr<BroadcastRing> ring_;
};

class BroadcastRx {
 public:
  explicit BroadcastRx(const std::shared_ptr<BroadcastRing>& ring) noexcept;
  BroadcastRx(BroadcastRx&& o) noexcept;
  BroadcastRx& operator=(BroadcastRx&& o) noexcept;
  ~BroadcastRx();

  Result<std::shared_ptr<const void>> recv(const Context* ctx);
  Result<std::shared_ptr<const void>> try_recv();  // null: nothing there yet
  std::uint64_t missed() const noexcept { return missed_; }
  std::uint64_t pending() const noexcept;

 private:
  void check() const;
  Result<std::shared_ptr<const void>> read_locked() noexcept;

  std::shared_ptr<BroadcastRing> ring_;
  std::uint64_t next_ = 0;  // number of the value to read next
  std::uint64_t missed_ = 0;
};

}  // namespace detail

// One receiver of a Broadcast: sees each value sent after it was made. Move-only; one goroutine or
// thread uses it at a time. Values are shared by all receivers and go when the last has read them.
template <class T>
class BroadcastReceiver {
 public:
  // A copy of the next value, waiting for one. Errors: `lagged`, the ring has overwritten values
  // that this receiver had not read: missed() says how many, and the next call goes on with the
  // oldest there is; `closed`, the senders are gone or closed it, and all values have been read.
  // Parks the calling G; on a plain thread it blocks that thread.
  Result<T> recv()
    requires std::copy_constructible<T>
  {
    return copy(rx_.recv(nullptr));
  }
  // The same, unless `ctx` is done first: then `canceled` or `timed_out`, and nothing was read.
  Result<T> recv(const Context& ctx)
    requires std::copy_constructible<T>
  {
    return copy(rx_.recv(&ctx));
  }
  // As recv(), without a copy: the value all receivers share.
  Result<std::shared_ptr<const T>> recv_shared() { return cast(rx_.recv(nullptr)); }
  Result<std::shared_ptr<const T>> recv_shared(const Context& ctx) { return cast(rx_.recv(&ctx)); }
  // As recv_shared() when that needs no wait; a null pointer when there is nothing yet. Never
  // parks.
  Result<std::shared_ptr<const T>> try_recv() { return cast(rx_.try_recv()); }

  // How many values the last `lagged` stood for.
  std::uint64_t missed() const noexcept { return rx_.missed(); }
  // How many values are there for it now, the overwritten ones included. Never parks.
  std::uint64_t pending() const noexcept { return rx_.pending(); }

 private:
  template <class U>
  friend class BroadcastSender;
  explicit BroadcastReceiver(const std::shared_ptr<detail::BroadcastRing>& ring) noexcept
      : rx_(ring) {}

  static Result<T> copy(Result<std::shared_ptr<const void>> r) {
    if (!r) return fail(r.error());
    return *static_cast<const T*>(r->get());
  }
  static Result<std::shared_ptr<const T>> cast(Result<std::shared_ptr<const void>> r) {
    if (!r) return fail(r.error());
    return std::static_pointer_cast<const T>(std::move(*r));
  }

  detail::BroadcastRx rx_;
};

// A handle on the sending side, cheap to copy; copies send into the same ring. When the last one
// goes it is closed. Safe to use from any goroutine or thread; no function parks.
template <class T>
class BroadcastSender {
 public:
  // A ring of `capacity` values, 1 or more: how far a receiver may fall behind. Panics otherwise.
  explicit BroadcastSender(std::int64_t capacity) : tx_(capacity) {}

  // Gives `v` to every receiver there is and returns how many; with none the value is dropped.
  // Overwrites the oldest value when the ring is full: it never waits. Errors: `closed`.
  Result<std::size_t> send(T v) const { return tx_.send(std::make_shared<const T>(std::move(v))); }
  // A new receiver: sees what is sent from now on; of a closed one, only `closed`.
  BroadcastReceiver<T> subscribe() const { return BroadcastReceiver<T>(tx_.ring()); }
  // No more values: receivers read what is there, then `closed`. Idempotent.
  void close() const noexcept { tx_.close(); }
  std::size_t receivers() const noexcept { return tx_.receivers(); }

 private:
  detail::BroadcastTx tx_;
};

}  // namespace treadle
