// Channels; the invariants and the two ways to wait stand in runtime/chan_state.h.
#include <treadle/chan.h>

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>

#include "runtime/allocate.h"
#include "runtime/bubble.h"
#include "runtime/chan_state.h"
#include "runtime/context_state.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"

namespace treadle {

namespace rt {

using detail::ChanStatus;

[[gnu::noinline]] void SpinLock::lock_slow() noexcept {
  for (int spins = 0;; ++spins) {
    spin_pause(spins);
    if (held_.load(std::memory_order_relaxed) == 0 &&
        held_.exchange(1, std::memory_order_acquire) == 0)
      return;
  }
}

void SudogQueue::push_back(Sudog* s) noexcept {
  s->next = nullptr;
  s->prev = tail_;
  s->queued = true;
  if (tail_)
    tail_->next = s;
  else
    head_.store(s, std::memory_order_release);
  tail_ = s;
}

void SudogQueue::remove(Sudog* s) noexcept {
  if (!s->queued) return;
  if (s->prev)
    s->prev->next = s->next;
  else
    head_.store(s->next, std::memory_order_release);
  (s->next ? s->next->prev : tail_) = s->prev;
  s->queued = false;
}

Sudog* SudogQueue::serve(Fired outcome, G** wake) noexcept {
  while (Sudog* s = head_.load(std::memory_order_relaxed)) {
    remove(s);
    if (!s->waiter)
      *wake = s->g;
    else if (!s->waiter->claim(outcome, wake))
      continue;  // it goes on because of something else
    s->outcome = outcome;
    return s;
  }
  return nullptr;
}

namespace {

// The usual payloads without an indirect call.
inline void move_element(const Hchan* c, void* to, void* from) noexcept {
  const detail::ElementOps& ops = *c->ops;
  if (!ops.trivial)
    ops.move(to, from);
  else if (ops.size == 8)
    std::memcpy(to, from, 8);
  else if (ops.size == 4)
    std::memcpy(to, from, 4);
  else
    std::memcpy(to, from, ops.size);
}

inline std::size_t advance(const Hchan* c, std::size_t at) noexcept {
  at += c->ops->size;
  return at == c->bytes ? 0 : at;
}

inline void push_buffer(Hchan* c, void* element) noexcept {
  move_element(c, c->buffer + c->send_at, element);
  c->send_at = advance(c, c->send_at);
  c->count.store(c->count.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

inline void pop_buffer(Hchan* c, void* to) noexcept {
  std::byte* from = c->buffer + c->recv_at;
  move_element(c, to, from);
  if (!c->ops->trivial) c->ops->destroy(from);
  c->recv_at = advance(c, c->recv_at);
  c->count.store(c->count.load(std::memory_order_relaxed) - 1, std::memory_order_release);
}

[[gnu::always_inline]] inline ChanStatus send_now(Hchan* c, void* element, G** wake) noexcept {
  if (c->closed.load(std::memory_order_relaxed)) [[unlikely]]
    return ChanStatus::closed;
  if (!c->receivers.empty())
    if (Sudog* receiver = c->receivers.serve(Fired::granted, wake)) {
      move_element(c, receiver->element, element);
      return ChanStatus::ok;
    }
  if (c->count.load(std::memory_order_relaxed) == c->capacity) return ChanStatus::would_block;
  push_buffer(c, element);
  return ChanStatus::ok;
}

[[gnu::always_inline]] inline ChanStatus recv_now(Hchan* c, void* to, G** wake) noexcept {
  if (c->count.load(std::memory_order_relaxed) > 0) {
    pop_buffer(c, to);
    // The buffer was full if a sender waits: its element takes the place that became free.
    if (!c->senders.empty())
      if (Sudog* sender = c->senders.serve(Fired::granted, wake)) push_buffer(c, sender->element);
    return ChanStatus::ok;
  }
  if (!c->senders.empty())
    if (Sudog* sender = c->senders.serve(Fired::granted, wake)) {
      move_element(c, to, sender->element);
      return ChanStatus::ok;
    }
  return c->closed.load(std::memory_order_relaxed) ? ChanStatus::closed : ChanStatus::would_block;
}

// Runs once the registers of a plain waiter are saved; see chan_state.h.
void hook_unlock(M*, G*, void* lock) { static_cast<SpinLock*>(lock)->unlock(); }

// With the channel locked; it is unlocked on return.
[[gnu::noinline]] ChanStatus wait_plain(Hchan* c, SudogQueue& queue, void* element,
                                        WaitReason why) noexcept {
  Sudog s;
  s.element = element;
  s.g = getm()->curg;
  waits_on(s.g, c->bubble);
  queue.push_back(&s);
  gopark(&hook_unlock, &c->lock, why);
  return s.outcome == Fired::granted ? ChanStatus::ok : ChanStatus::closed;
}

// The same with a Context, which may end the wait too.
[[gnu::noinline]] ChanStatus wait_with(Hchan* c, SudogQueue& queue, void* element, WaitReason why,
                                       ContextState* context) noexcept {
  Waiter w;
  Sudog s;
  s.element = element;
  s.waiter = &w;
  queue.push_back(&s);
  c->lock.unlock();
  Fired fired;
  {
    ContextWait registered(context, w);
    waits_on(getm()->curg, c->bubble);
    fired = w.wait(why);
  }
  if (!w.claimed_parked() || fired == Fired::context) {
    SpinGuard hold(c->lock);
    queue.remove(&s);
  }
  switch (fired) {
    case Fired::granted: return ChanStatus::ok;
    case Fired::context: return ChanStatus::context_done;
    default: return ChanStatus::closed;
  }
}

// On a nil channel: for ever, or until the context ends.
[[gnu::noinline]] ChanStatus wait_nil(ContextState* context) noexcept {
  ParkingEntry entry;
  Waiter w;
  ContextWait registered(context, w);
  w.wait(WaitReason::chan_nil);
  return ChanStatus::context_done;
}

inline ChanStatus send(Hchan* c, void* element, ContextState* context) noexcept {
  ensure_started();
  if (!c) return wait_nil(context);
  ParkingEntry entry;
  G* wake = nullptr;
  c->lock.lock();
  const ChanStatus status = send_now(c, element, &wake);
  if (status == ChanStatus::would_block)
    return context ? wait_with(c, c->senders, element, WaitReason::chan_send, context)
                   : wait_plain(c, c->senders, element, WaitReason::chan_send);
  c->lock.unlock();
  if (wake) goready(wake);
  return status;
}

inline ChanStatus recv(Hchan* c, void* slot, ContextState* context) noexcept {
  ensure_started();
  if (!c) return wait_nil(context);
  ParkingEntry entry;
  G* wake = nullptr;
  c->lock.lock();
  const ChanStatus status = recv_now(c, slot, &wake);
  if (status == ChanStatus::would_block)
    return context ? wait_with(c, c->receivers, slot, WaitReason::chan_recv, context)
                   : wait_plain(c, c->receivers, slot, WaitReason::chan_recv);
  c->lock.unlock();
  if (wake) goready(wake);
  return status;
}

// Without one a wait is a plain one.
ContextState* if_it_can_end(const Context& ctx) noexcept {
  ContextState* c = ctx.state();
  return c && c->source ? c : nullptr;
}

[[noreturn]] void send_on_closed() { throw Panic("treadle::Chan: send on a closed channel"); }

}  // namespace

ChanStatus send_locked(Hchan* c, void* element, G** wake) noexcept {
  return send_now(c, element, wake);
}

ChanStatus recv_locked(Hchan* c, void* to, G** wake) noexcept { return recv_now(c, to, wake); }

}  // namespace rt

namespace detail {

using rt::Hchan;

namespace {
// What a process can address at most: a larger buffer is nonsense, a smaller one may be bad_alloc.
constexpr std::size_t kAddressSpace = std::size_t{1} << 47;

std::size_t chan_align(const ElementOps& ops) noexcept {
  return std::max(ops.align, alignof(Hchan));
}
}  // namespace

Hchan* chan_make(std::size_t capacity, const ElementOps& ops) {
  if (capacity > kAddressSpace / ops.size)
    throw Panic(fmt::format("treadle::make_chan: a buffer of {} elements of {} bytes is too large",
                            capacity, ops.size));
  // One piece of memory, the buffer behind the channel.
  const std::size_t offset = (sizeof(Hchan) + ops.align - 1) / ops.align * ops.align;
  void* at = rt::allocate(offset + capacity * ops.size, chan_align(ops));
  auto* c = ::new (at) Hchan(capacity, ops, rt::bubble_id(rt::current_bubble()));
  c->buffer = static_cast<std::byte*>(at) + offset;
  return c;
}

void chan_retain(Hchan* c) noexcept {
  if (c) c->refs.fetch_add(1, std::memory_order_relaxed);
}

void chan_release(Hchan* c) noexcept {
  if (!c) return;
  // Who holds the only handle needs no locked operation: nobody can copy it meanwhile. Acquire:
  // pairs with the others' release.
  if (c->refs.load(std::memory_order_acquire) != 1 &&
      c->refs.fetch_sub(1, std::memory_order_acq_rel) != 1)
    return;
  if (c->feeder) c->feeder->gone(c->feeder);
  // Nobody else has a handle, so nobody waits; the elements' destructors run outside the runtime.
  for (std::size_t n = c->count.load(std::memory_order_relaxed); n > 0; --n) {
    c->ops->destroy(c->buffer + c->recv_at);
    c->recv_at = rt::advance(c, c->recv_at);
  }
  const std::size_t align = chan_align(*c->ops);
  c->~Hchan();
  rt::deallocate(c, align);
}

void chan_send(Hchan* c, void* element) {
  if (rt::send(c, element, nullptr) == ChanStatus::closed) [[unlikely]]
    rt::send_on_closed();
}

ChanStatus chan_send(Hchan* c, void* element, const Context& ctx) {
  const ChanStatus status = rt::send(c, element, rt::if_it_can_end(ctx));
  if (status == ChanStatus::closed) rt::send_on_closed();
  return status;
}

ChanStatus chan_try_send(Hchan* c, void* element) {
  if (!c || c->nothing_to_send()) return ChanStatus::would_block;
  rt::ensure_started();
  ChanStatus status;
  {
    rt::Entry entry;  // moves nobody to another thread
    rt::G* wake = nullptr;
    c->lock.lock();
    status = rt::send_locked(c, element, &wake);
    c->lock.unlock();
    if (wake) rt::goready(wake);
  }
  if (status == ChanStatus::closed) rt::send_on_closed();
  return status;
}

ChanStatus chan_recv(Hchan* c, void* slot) noexcept { return rt::recv(c, slot, nullptr); }

ChanStatus chan_recv(Hchan* c, void* slot, const Context& ctx) noexcept {
  return rt::recv(c, slot, rt::if_it_can_end(ctx));
}

ChanStatus chan_try_recv(Hchan* c, void* slot) noexcept {
  if (!c || c->nothing_to_recv()) return ChanStatus::would_block;
  rt::ensure_started();
  rt::Entry entry;
  rt::G* wake = nullptr;
  c->lock.lock();
  const ChanStatus status = rt::recv_locked(c, slot, &wake);
  c->lock.unlock();
  if (wake) rt::goready(wake);
  return status;
}

void chan_close(Hchan* c) {
  if (!c) throw Panic("treadle::Chan: close of a nil channel");
  rt::ensure_started();
  bool already;
  {
    rt::Entry entry;
    rt::GList ready;
    {
      rt::SpinGuard hold(c->lock);
      already = c->closed.exchange(true, std::memory_order_release);
      for (rt::SudogQueue* queue : {&c->receivers, &c->senders}) {
        rt::G* g = nullptr;
        while (queue->serve(rt::Fired::closed, &g))
          if (rt::G* parked = std::exchange(g, nullptr)) ready.push_back(parked);
      }
    }
    while (rt::G* g = ready.pop_front()) rt::goready(g);
  }
  if (already) throw Panic("treadle::Chan: close of a closed channel");
}

std::size_t chan_size(const Hchan* c) noexcept {
  return c && !c->feeder ? c->count.load(std::memory_order_relaxed) : 0;
}

std::size_t chan_capacity(const Hchan* c) noexcept { return c && !c->feeder ? c->capacity : 0; }

}  // namespace detail

}  // namespace treadle
