// RwMutex.
//
// One word: kWriter, a writer holds the lock; kQueue, a spin lock over the two queues;
// kWritersWait and kReadersWait, that queue is not empty; above them the number of readers that
// hold the lock. Invariants:
//  - While kQueue is set, nobody but its holder changes the word. The queues change only under it,
//    and agree with their flags whenever it is clear.
//  - kWriter and readers exclude each other.
//  - Readers wait only while a writer holds the lock or waits. Writers wait only while somebody
//    holds it. So the lock is never free while somebody waits: it is always handed over, in
//    settle(), and a waiter that is woken has it.
//  - The fast paths work on a word without flags (a writer's unlock: kWriter alone).
//  - Each operation ends with one store that lets go of the lock and of kQueue together; nothing of
//    the object is touched after it, so the next holder may destroy it. Hence a reader's unlock
//    takes kQueue while it still counts as a reader. A waiter that was claimed before it parked
//    waits for kQueue to clear.
//
// Who is next. A writer's unlock lets in all readers that wait, then they and nobody else hold the
// lock until the last of them lets in the first writer (Go's rule): each side waits for one turn of
// the other at most, whatever arrives meanwhile.
//
// Rejected: an unconditional addition for readers, as in Go. It spares retries among many readers'
// CPUs, but a reader that has added itself in vain must take itself back, and then is another last
// reader whom a waiting writer has to hear from: the lock could no longer be let go by one store.
// Writers competing for a free lock, as in Mutex: a writer's turn is expensive enough.
#include <treadle/rw_mutex.h>

#include "runtime/context_state.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"
#include "runtime/waiter.h"
#include "runtime/word_lock.h"

namespace treadle {

namespace {

constexpr std::uint64_t kWriter = 1;
constexpr std::uint64_t kQueue = 2;
constexpr std::uint64_t kWritersWait = 4;
constexpr std::uint64_t kReadersWait = 8;
constexpr std::uint64_t kReader = 16;

struct RwMutexRef {
  std::atomic<std::uint64_t>& state;
  rt::WaiterQueue writers;
  rt::WaiterQueue readers;

  // Returns the word without kQueue, which is then set.
  std::uint64_t lock_queue() noexcept { return rt::lock_bit(state, kQueue); }
  // The last access: stores `s`, with the flags that the queues call for.
  void unlock_queue(std::uint64_t s) noexcept {
    s &= ~(kWritersWait | kReadersWait);
    if (!writers.empty()) s |= kWritersWait;
    if (!readers.empty()) s |= kReadersWait;
    state.store(s, std::memory_order_release);
  }
};

enum class Turn { readers, writer };

// Hands a lock that no writer holds to whoever may have it; returns the word. The Gs in `ready` are
// to be made ready once kQueue is clear.
std::uint64_t settle(RwMutexRef& mu, std::uint64_t s, Turn turn, rt::GList& ready) noexcept {
  rt::G* g = nullptr;
  if (turn == Turn::writer && s < kReader) {
    while (rt::Waiter* w = mu.writers.pop_front()) {
      if (!w->claim(rt::Fired::granted, &g)) continue;  // its context ended
      if (g) ready.push_back(g);
      return s | kWriter;
    }
  }
  if (turn == Turn::writer && !mu.writers.empty()) return s;
  while (rt::Waiter* w = mu.readers.pop_front()) {
    if (!w->claim(rt::Fired::granted, &g)) continue;
    if (g) ready.push_back(g);
    s += kReader;
  }
  if (s < kReader && turn == Turn::readers) return settle(mu, s, Turn::writer, ready);
  return s;
}

void make_ready(rt::GList& ready) noexcept {
  while (rt::G* g = ready.pop_front()) rt::goready(g);
}

// What lock() and lock_shared() have in common once they have to look twice.
struct Want {
  rt::WaiterQueue RwMutexRef::* queue;
  std::uint64_t mark;     // what is added to the word on getting in
  std::uint64_t against;  // with any of these bits set one has to wait
  rt::WaitReason reason;
};
constexpr Want kWrite{&RwMutexRef::writers, kWriter, ~kQueue, rt::WaitReason::rw_mutex_write};
constexpr Want kRead{&RwMutexRef::readers, kReader, kWriter | kWritersWait,
                     rt::WaitReason::rw_mutex_read};

// False when `context` ended the wait; otherwise the lock is ours.
bool lock_queued(RwMutexRef mu, const Want& want, rt::ContextState* context) {
  rt::ParkingEntry entry;
  rt::Waiter w;
  const std::uint64_t s = mu.lock_queue();
  if (!(s & want.against)) {
    mu.unlock_queue(s + want.mark);
    return true;
  }
  (mu.*want.queue).push_back(&w);
  mu.unlock_queue(s);
  rt::Fired fired;
  {
    rt::ContextWait registered(context, w);
    fired = w.wait(want.reason);
  }
  if (fired == rt::Fired::granted && w.claimed_parked()) return true;
  rt::GList ready;
  std::uint64_t now = mu.lock_queue();
  if (fired != rt::Fired::granted) {
    (mu.*want.queue).remove(&w);
    // Readers may have waited for this writer only.
    if (!(now & kWriter)) now = settle(mu, now, Turn::writer, ready);
  }
  mu.unlock_queue(now);
  make_ready(ready);
  return fired == rt::Fired::granted;
}

}  // namespace

void RwMutex::lock_slow() {
  rt::ensure_started();
  lock_queued({state_, {writers_head_, writers_tail_}, {readers_head_, readers_tail_}}, kWrite,
              nullptr);
}

Result<void> RwMutex::lock(const Context& ctx) {
  if (try_lock()) return {};
  rt::ensure_started();
  if (lock_queued({state_, {writers_head_, writers_tail_}, {readers_head_, readers_tail_}}, kWrite,
                  ctx.state()))
    return {};
  return fail(ctx.error());
}

bool RwMutex::try_lock() noexcept {
  std::uint64_t free = 0;
  return state_.compare_exchange_strong(free, kWriter, std::memory_order_acquire,
                                        std::memory_order_relaxed);
}

void RwMutex::lock_shared_slow() {
  rt::ensure_started();
  lock_queued({state_, {writers_head_, writers_tail_}, {readers_head_, readers_tail_}}, kRead,
              nullptr);
}

Result<void> RwMutex::lock_shared(const Context& ctx) {
  if (try_lock_shared()) return {};
  rt::ensure_started();
  if (lock_queued({state_, {writers_head_, writers_tail_}, {readers_head_, readers_tail_}}, kRead,
                  ctx.state()))
    return {};
  return fail(ctx.error());
}

// Somebody is at the queues: looks again when they have done.
bool RwMutex::try_lock_shared_slow() noexcept {
  rt::Entry entry;
  const std::uint64_t s = rt::lock_bit(state_, kQueue);
  const bool free = !(s & (kWriter | kWritersWait));
  state_.store(free ? s + kReader : s, std::memory_order_release);
  return free;
}

void RwMutex::unlock_slow() {
  bool locked;
  {
    rt::Entry entry;
    RwMutexRef mu{state_, {writers_head_, writers_tail_}, {readers_head_, readers_tail_}};
    rt::GList ready;
    std::uint64_t s = mu.lock_queue();
    locked = s & kWriter;
    if (locked) s = settle(mu, s & ~kWriter, Turn::readers, ready);
    mu.unlock_queue(s);
    make_ready(ready);
  }
  if (!locked) throw Panic("treadle::RwMutex: unlock of an unlocked lock");
}

void RwMutex::unlock_shared_slow() {
  bool locked;
  {
    rt::Entry entry;
    RwMutexRef mu{state_, {writers_head_, writers_tail_}, {readers_head_, readers_tail_}};
    rt::GList ready;
    std::uint64_t s = mu.lock_queue();
    locked = s >= kReader;
    if (locked) {
      s -= kReader;
      if (s < kReader) s = settle(mu, s, Turn::writer, ready);
    }
    mu.unlock_queue(s);
    make_ready(ready);
  }
  if (!locked) throw Panic("treadle::RwMutex: unlock_shared of a lock no reader holds");
}

}  // namespace treadle
