// Channels.
//
// Invariants, under the lock
//  - At most one of the two queues is non-empty.
//  - Receivers wait only while the buffer is empty, senders only while it is full (an unbuffered
//    channel's is both).
//  - A closed channel has no waiting senders or receivers.
// An element goes straight from sender to receiver where one waits: into the receiver's slot, or
// out of the sender's variable, under the channel's lock.
//
// A waiter that lies in a Context too may be claimed from there. Who dequeues it claims it first
// and skips it when that fails. When the claim comes before the waiter has parked, the waiter sees
// it at once, perhaps before the element has moved; it therefore takes the lock once before it
// looks.
#include <treadle/chan.h>

#include <fmt/core.h>

#include <atomic>
#include <cstdint>
#include <limits>
#include <new>

#include "runtime/context_state.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"
#include "runtime/waiter.h"

namespace treadle {

namespace rt {

namespace {

// One goroutine's place in a channel's queue, on its stack.
struct Sudog : Waiter {
  void* element = nullptr;  // the sender's variable, or the receiver's slot
};

}  // namespace

struct Hchan {
  std::atomic<std::uint32_t> refs{1};
  const detail::ElementOps* ops = nullptr;
  std::size_t capacity = 0;
  std::byte* buffer = nullptr;

  Lock lock;  // protects what follows; count and closed are also read without it
  std::atomic<std::size_t> count{0};
  std::atomic<bool> closed{false};
  std::size_t head = 0;  // index of the oldest element
  Waiter* recv_head = nullptr;
  Waiter* recv_tail = nullptr;
  Waiter* send_head = nullptr;
  Waiter* send_tail = nullptr;

  WaiterQueue receivers() noexcept { return {recv_head, recv_tail}; }
  WaiterQueue senders() noexcept { return {send_head, send_tail}; }
  void* slot(std::size_t i) noexcept { return buffer + (i % capacity) * ops->size; }
};

namespace {

using detail::ChanStatus;

// The first waiter that is still waiting; *g is to be readied once the lock is free.
Sudog* dequeue(WaiterQueue queue, G** g) noexcept {
  while (Waiter* w = queue.pop_front())
    if (w->claim(Fired::granted, g)) return static_cast<Sudog*>(w);
  return nullptr;
}

void push_buffer(Hchan* c, void* element) noexcept {
  const std::size_t n = c->count.load(std::memory_order_relaxed);
  c->ops->move(c->slot(c->head + n), element);
  c->count.store(n + 1, std::memory_order_relaxed);
}

void pop_buffer(Hchan* c, void* to) noexcept {
  void* from = c->slot(c->head);
  c->ops->move(to, from);
  c->ops->destroy(from);
  c->head = (c->head + 1) % c->capacity;
  c->count.store(c->count.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
}

// What can be done without waiting, under the lock.
ChanStatus send_locked(Hchan* c, void* element, G** g) noexcept {
  if (c->closed.load(std::memory_order_relaxed)) return ChanStatus::closed;
  if (Sudog* receiver = dequeue(c->receivers(), g)) {
    c->ops->move(receiver->element, element);
    return ChanStatus::ok;
  }
  if (c->count.load(std::memory_order_relaxed) == c->capacity) return ChanStatus::would_block;
  push_buffer(c, element);
  return ChanStatus::ok;
}

ChanStatus recv_locked(Hchan* c, void* to, G** g) noexcept {
  if (c->count.load(std::memory_order_relaxed) > 0) {
    pop_buffer(c, to);
    // The buffer was full if a sender waits: its element takes the place that became free.
    if (Sudog* sender = dequeue(c->senders(), g)) push_buffer(c, sender->element);
    return ChanStatus::ok;
  }
  if (Sudog* sender = dequeue(c->senders(), g)) {
    c->ops->move(to, sender->element);
    return ChanStatus::ok;
  }
  return c->closed.load(std::memory_order_relaxed) ? ChanStatus::closed : ChanStatus::would_block;
}

using TryFn = ChanStatus (*)(Hchan*, void*, G**) noexcept;

// Queued already, the lock free: waits until somebody has served the Sudog.
ChanStatus wait_served(Hchan* c, Sudog& s, WaiterQueue queue, WaitReason why,
                       ContextState* context) {
  Fired fired;
  {
    ContextWait registered(context, s);
    fired = s.wait(why);
  }
  if (!s.claimed_parked() || fired == Fired::context) {
    // Whoever claimed us without our being parked may still be moving the element, under the lock.
    LockGuard hold(c->lock);
    queue.remove(&s);
  }
  switch (fired) {
    case Fired::granted: return ChanStatus::ok;
    case Fired::context: return ChanStatus::context_done;
    default: return ChanStatus::closed;
  }
}

ChanStatus operate(Hchan* c, void* element, TryFn attempt, bool sending, bool may_park,
                   ContextState* context) {
  G* wake = nullptr;
  Sudog s;
  c->lock.lock();
  const ChanStatus status = attempt(c, element, &wake);
  if (status != ChanStatus::would_block || !may_park) {
    c->lock.unlock();
    if (wake) goready(wake);
    return status;
  }
  s.element = element;
  WaiterQueue queue = sending ? c->senders() : c->receivers();
  queue.push_back(&s);
  c->lock.unlock();
  return wait_served(c, s, queue, sending ? WaitReason::chan_send : WaitReason::chan_recv, context);
}

// On a nil channel: for ever, or until the context ends.
ChanStatus wait_nil(bool may_park, ContextState* context) {
  if (!may_park) return ChanStatus::would_block;
  Waiter w;
  ContextWait registered(context, w);
  w.wait(WaitReason::chan_nil);
  return ChanStatus::context_done;
}

ChanStatus enter_and_operate(Hchan* c, void* element, bool sending, bool may_park,
                             const Context* ctx) {
  ensure_started();
  ContextState* context = ctx ? ctx->state() : nullptr;
  const TryFn attempt = sending ? &send_locked : &recv_locked;
  if (!may_park) {
    Entry entry;  // moves nobody to another thread
    return c ? operate(c, element, attempt, sending, false, nullptr) : wait_nil(false, nullptr);
  }
  ParkingEntry entry;
  return c ? operate(c, element, attempt, sending, true, context) : wait_nil(true, context);
}

}  // namespace

}  // namespace rt

namespace detail {

using rt::Hchan;

Hchan* chan_make(std::size_t capacity, const ElementOps& ops) {
  if (capacity > std::numeric_limits<std::ptrdiff_t>::max() / ops.size)
    throw Panic(fmt::format("treadle::make_chan: a buffer of {} elements of {} bytes is too large",
                            capacity, ops.size));
  auto c = std::make_unique<Hchan>();
  c->ops = &ops;
  c->capacity = capacity;
  if (capacity > 0)
    c->buffer =
        static_cast<std::byte*>(::operator new(capacity * ops.size, std::align_val_t{ops.align}));
  return c.release();
}

void chan_retain(Hchan* c) noexcept {
  if (c) c->refs.fetch_add(1, std::memory_order_relaxed);
}

void chan_release(Hchan* c) noexcept {
  if (!c || c->refs.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  // Nobody else has a handle, so nobody waits; the elements' destructors run outside the runtime.
  for (std::size_t n = c->count.load(std::memory_order_relaxed); n > 0; --n)
    c->ops->destroy(c->slot(c->head++));
  if (c->buffer) ::operator delete(c->buffer, std::align_val_t{c->ops->align});
  delete c;
}

ChanStatus chan_send(Hchan* c, void* element, bool may_park, const Context* ctx) {
  const ChanStatus status = rt::enter_and_operate(c, element, true, may_park, ctx);
  if (status == ChanStatus::closed) throw Panic("treadle::Chan: send on a closed channel");
  return status;
}

ChanStatus chan_recv(Hchan* c, void* slot, bool may_park, const Context* ctx) {
  return rt::enter_and_operate(c, slot, false, may_park, ctx);
}

void chan_close(Hchan* c) {
  if (!c) throw Panic("treadle::Chan: close of a nil channel");
  bool already;
  {
    rt::Entry entry;
    rt::GList ready;
    {
      rt::LockGuard hold(c->lock);
      already = c->closed.exchange(true, std::memory_order_relaxed);
      for (rt::WaiterQueue queue : {c->receivers(), c->senders()})
        while (rt::Waiter* w = queue.pop_front()) {
          rt::G* g = nullptr;
          if (w->claim(rt::Fired::closed, &g) && g) ready.push_back(g);
        }
    }
    while (rt::G* g = ready.pop_front()) rt::goready(g);
  }
  if (already) throw Panic("treadle::Chan: close of a closed channel");
}

std::size_t chan_size(const Hchan* c) noexcept {
  return c ? c->count.load(std::memory_order_relaxed) : 0;
}

std::size_t chan_capacity(const Hchan* c) noexcept { return c ? c->capacity : 0; }

}  // namespace detail

}  // namespace treadle
