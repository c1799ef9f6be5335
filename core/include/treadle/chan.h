// Channels: typed queues between goroutines, with Go's rules.
//
//   auto jobs = treadle::make_chan<int>(16);
//   treadle::go([jobs] { jobs.send(42); jobs.close(); });
//   while (auto job = jobs.recv()) work(*job);
//
// Invariants (core/src/chan.cpp proves them): at most one of the two wait queues is non-empty;
// receivers wait only while the buffer is empty, senders only while it is full.
#pragma once

#include <concepts>
#include <cstddef>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

#include <treadle/context.h>

namespace treadle {

namespace rt {
struct Hchan;
}

namespace detail {

// How an element moves. Both run under the channel's lock: they must not throw, nor call treadle.
struct ElementOps {
  std::size_t size;
  std::size_t align;
  bool trivial;  // moving is copying bytes, destroying is nothing: neither is called
  void (*move)(void* to, void* from) noexcept;  // move-construct; the source stays, moved from
  void (*destroy)(void* at) noexcept;
};

template <class T>
inline constexpr ElementOps kElementOps{
    sizeof(T), alignof(T), std::is_trivially_copyable_v<T>,
    [](void* to, void* from) noexcept {
      ::new (to) T(std::move(*std::launder(static_cast<T*>(from))));
    },
    [](void* at) noexcept { std::launder(static_cast<T*>(at))->~T(); }};

enum class ChanStatus { ok, closed, would_block, context_done };

rt::Hchan* chan_make(std::size_t capacity, const ElementOps& ops);
void chan_retain(rt::Hchan*) noexcept;
void chan_release(rt::Hchan*) noexcept;
// `ok` means that *element was moved from; otherwise it is as it was. All panic when the channel is
// closed. The first parks and is `ok`; so does the second, unless `ctx` is done.
void chan_send(rt::Hchan*, void* element);
ChanStatus chan_send(rt::Hchan*, void* element, const Context& ctx);
ChanStatus chan_try_send(rt::Hchan*, void* element);
// `ok` means that an element was constructed in *slot.
ChanStatus chan_recv(rt::Hchan*, void* slot) noexcept;
ChanStatus chan_recv(rt::Hchan*, void* slot, const Context& ctx) noexcept;
ChanStatus chan_try_recv(rt::Hchan*, void* slot) noexcept;
void chan_close(rt::Hchan*);
std::size_t chan_size(const rt::Hchan*) noexcept;
std::size_t chan_capacity(const rt::Hchan*) noexcept;

// Raw room for one T that may or may not have been filled.
template <class T>
struct Slot {
  alignas(T) std::byte bytes[sizeof(T)];
  T take() noexcept {
    T* p = std::launder(reinterpret_cast<T*>(bytes));
    struct Destroy {
      T* p;
      ~Destroy() { p->~T(); }
    } destroy{p};
    return std::move(*p);
  }
};

}  // namespace detail

// A handle, cheap to copy; copies are the same channel, which lives as long as one of them.
// Default-constructed it is the nil channel, on which send and receive wait for ever.
// T must be nothrow-movable, since elements move under the channel's lock: its move constructor,
// and its destructor when moved from, must not call treadle. Safe to use from any
// goroutine or thread.
template <class T>
class Chan {
  static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T>,
                "channel elements move under a lock: wrap T in a unique_ptr");

 public:
  using value_type = T;

  Chan() noexcept = default;
  Chan(const Chan& o) noexcept : ch_(o.ch_) { detail::chan_retain(ch_); }
  Chan(Chan&& o) noexcept : ch_(std::exchange(o.ch_, nullptr)) {}
  Chan& operator=(Chan o) noexcept {
    std::swap(ch_, o.ch_);
    return *this;
  }
  ~Chan() { detail::chan_release(ch_); }

  // Delivers `v`, waiting for a receiver or for room in the buffer. Panics when the channel is
  // closed, also when it is closed while waiting.
  // Parks the calling G; on a plain thread it blocks that thread.
  void send(T v) const { detail::chan_send(ch_, std::addressof(v)); }
  // The same, unless `ctx` is done first: then `canceled` or `timed_out`, and `v` was not
  // delivered.
  [[nodiscard]] Result<void> send(T v, const Context& ctx) const {
    if (detail::chan_send(ch_, std::addressof(v), ctx) == detail::ChanStatus::context_done)
      return fail(ctx.error());
    return {};
  }
  // Delivers `v` only when that needs no wait; otherwise returns false and leaves `v` as it was.
  // Never parks. Panics when the channel is closed.
  [[nodiscard]] bool try_send(T&& v) const {
    return detail::chan_try_send(ch_, std::addressof(v)) == detail::ChanStatus::ok;
  }
  [[nodiscard]] bool try_send(const T& v) const
    requires std::copy_constructible<T>
  {
    return try_send(T(v));
  }

  // The next element, waiting for one; empty once the channel is closed and drained.
  // Parks the calling G; on a plain thread it blocks that thread.
  std::optional<T> recv() const {
    detail::Slot<T> s;
    if (detail::chan_recv(ch_, s.bytes) != detail::ChanStatus::ok) return {};
    return s.take();
  }
  // The same, unless `ctx` is done first: then `canceled` or `timed_out`.
  [[nodiscard]] Result<std::optional<T>> recv(const Context& ctx) const {
    detail::Slot<T> s;
    switch (detail::chan_recv(ch_, s.bytes, ctx)) {
      case detail::ChanStatus::ok: return std::optional<T>(s.take());
      case detail::ChanStatus::context_done: return fail(ctx.error());
      default: return std::optional<T>();
    }
  }
  // An element that is there already; empty when there is none, or the channel is closed.
  // Never parks.
  std::optional<T> try_recv() const {
    detail::Slot<T> s;
    if (detail::chan_try_recv(ch_, s.bytes) != detail::ChanStatus::ok) return {};
    return s.take();
  }

  // No more sends: waiting receivers get what is buffered, then empty. Panics when the channel is
  // nil or closed already. Never parks.
  void close() const { detail::chan_close(ch_); }

  // Elements buffered now, and the most that can be. Never park.
  std::size_t size() const noexcept { return detail::chan_size(ch_); }
  std::size_t capacity() const noexcept { return detail::chan_capacity(ch_); }
  explicit operator bool() const noexcept { return ch_ != nullptr; }
  friend bool operator==(const Chan&, const Chan&) noexcept = default;

  // For treadle's own use (select): borrowed.
  rt::Hchan* state() const noexcept { return ch_; }

  // for (auto v : ch): receives until the channel is closed and drained.
  class iterator {
   public:
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    explicit iterator(const Chan& ch) : ch_(&ch), value_(ch.recv()) {}
    T& operator*() const { return *value_; }
    iterator& operator++() {
      value_.reset();
      if (auto next = ch_->recv()) value_.emplace(std::move(*next));
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& it, std::default_sentinel_t) { return !it.value_; }

   private:
    const Chan* ch_;
    mutable std::optional<T> value_;
  };
  iterator begin() const { return iterator(*this); }
  std::default_sentinel_t end() const { return {}; }

 private:
  template <class U>
  friend Chan<U> make_chan(std::size_t capacity);
  explicit Chan(rt::Hchan* adopted) noexcept : ch_(adopted) {}

  rt::Hchan* ch_ = nullptr;
};

// A new channel that buffers up to `capacity` elements; 0 makes it unbuffered: each send meets
// its receive. Panics when the buffer would not fit the address space. Never parks; any thread.
template <class T>
Chan<T> make_chan(std::size_t capacity = 0) {
  return Chan<T>(detail::chan_make(capacity, detail::kElementOps<T>));
}

}  // namespace treadle
