// Pool: a shard for each P, and one for plain threads.
//
// Invariants
//  - `own` belongs to the holder of the P: it is touched only inside the guard, where a P cannot be
//    taken away, so plain accesses will do; the P's hand-over carries them to its next holder.
//    Outside the guard "the current P" means nothing: another thread may have it by the next
//    instruction.
//  - The rest of a shard is under its lock: anybody may take from there. `idle` is also read
//    without it, to pass empty shards by.
//  - Objects are only pointers here: made and destroyed by the template, outside the guard.
// Ps beyond the number of shards (GOMAXPROCS was raised since) share those of others, without
// `own`.
#include <treadle/pool.h>

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <thread>

#include <treadle/detail/lock.h>
#include <treadle/result.h>

#include "runtime/sched.h"
#include "runtime/syscall.h"

namespace treadle::detail {

struct alignas(128) PoolCore::Shard {
  void* own = nullptr;
  rt::Lock lock;  // protects what follows
  std::atomic<std::size_t> idle{0};
  std::unique_ptr<void*[]> objects;  // max_idle of them; the newest last

  void* pop() noexcept {
    if (idle.load(std::memory_order_relaxed) == 0) return nullptr;
    const rt::LockGuard hold(lock);
    const std::size_t n = idle.load(std::memory_order_relaxed);
    if (n == 0) return nullptr;
    idle.store(n - 1, std::memory_order_relaxed);
    return objects[n - 1];
  }
  bool push(void* object, std::size_t max_idle) noexcept {
    const rt::LockGuard hold(lock);
    const std::size_t n = idle.load(std::memory_order_relaxed);
    if (n == max_idle) return false;
    objects[n] = object;
    idle.store(n + 1, std::memory_order_relaxed);
    return true;
  }
};

struct PoolCore::Shards {
  explicit Shards(std::size_t ps, std::size_t max_idle)
      : count(ps + 1), of(std::make_unique<Shard[]>(count)) {
    for (std::size_t i = 0; i < count; ++i) of[i].objects = std::make_unique<void*[]>(max_idle);
  }
  std::size_t count;
  std::unique_ptr<Shard[]> of;  // of[0]: plain threads; of[i]: the P with id i - 1
};

namespace {

// The calling thread's shard, and whether it has it for itself. Inside the guard.
struct Place {
  std::size_t shard = 0;
  bool owns = false;

  Place(const rt::M* m, std::size_t count) noexcept {
    if (m->foreign) return;
    const auto id = static_cast<std::size_t>(m->p.load(std::memory_order_relaxed)->id);
    owns = id + 1 < count;
    shard = owns ? id + 1 : id % count;
  }
};

}  // namespace

PoolCore::PoolCore(std::size_t max_idle) : max_idle_(max_idle) {
  if (max_idle == 0 || max_idle > 65536)
    throw Panic(fmt::format("treadle::Pool: max_idle of {}", max_idle));
}

PoolCore::~PoolCore() { delete shards_.load(std::memory_order_relaxed); }

PoolCore::Shards& PoolCore::shards() {
  if (Shards* s = shards_.load(std::memory_order_acquire)) return *s;
  rt::ensure_started();
  const std::size_t ps =
      std::max<std::size_t>(rt::sched.ps.size(), std::thread::hardware_concurrency());
  auto made = std::make_unique<Shards>(ps, max_idle_);
  Shards* first = nullptr;
  if (shards_.compare_exchange_strong(first, made.get(), std::memory_order_acq_rel,
                                      std::memory_order_acquire))
    return *made.release();
  return *first;
}

void* PoolCore::take() noexcept {
  Shards* s = shards_.load(std::memory_order_acquire);
  if (!s) return nullptr;
  rt::Entry entry;
  const Place here(entry.m(), s->count);
  if (here.owns)
    if (void* object = std::exchange(s->of[here.shard].own, nullptr)) return object;
  for (std::size_t i = 0; i < s->count; ++i)
    if (void* object = s->of[(here.shard + i) % s->count].pop()) return object;
  return nullptr;
}

bool PoolCore::give(void* object) {
  Shards& s = shards();
  rt::Entry entry;
  const Place here(entry.m(), s.count);
  Shard& shard = s.of[here.shard];
  if (here.owns && !shard.own) {
    shard.own = object;
    return true;
  }
  return shard.push(object, max_idle_);
}

void* PoolCore::take_shared() noexcept {
  Shards* s = shards_.load(std::memory_order_acquire);
  if (!s) return nullptr;
  rt::Entry entry;
  for (std::size_t i = 0; i < s->count; ++i)
    if (void* object = s->of[i].pop()) return object;
  return nullptr;
}

void* PoolCore::take_any() noexcept {
  if (void* object = take_shared()) return object;
  Shards* s = shards_.load(std::memory_order_acquire);
  for (std::size_t i = 0; s && i < s->count; ++i)
    if (void* object = std::exchange(s->of[i].own, nullptr)) return object;
  return nullptr;
}

}  // namespace treadle::detail
