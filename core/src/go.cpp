// Goroutines: making, starting and ending them, and the registry of all.
#include <treadle/go.h>

#include <sched.h>

#include <memory>
#include <new>

#include "runtime/dispatch.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"

namespace treadle {

namespace rt {

namespace {

constexpr std::uint32_t kLocalFree = 64;   // ended Gs a P keeps, with their stacks
constexpr std::uint32_t kHotGlobal = 256;  // shared ones whose stacks stay committed
constexpr std::uint64_t kIdBatch = 64;
constexpr std::size_t kBlock = 64;

// Gs are never freed: a late claim or a dump may still look at one. Blocks are linked for good.
struct Block {
  G g[kBlock];
  Block* next = nullptr;
};
struct GPool {
  Lock lock;  // protects all but `blocks`
  GList free;
  std::uint32_t carved = kBlock;        // Gs used of the newest block
  std::atomic<Block*> blocks{nullptr};  // release on push, acquire by for_each_g()
} pool;

G* g_carve() noexcept {
  LockGuard hold(pool.lock);
  if (pool.carved == kBlock) {
    auto* b = new (std::nothrow) Block;
    if (!b) return nullptr;
    b->next = pool.blocks.load(std::memory_order_relaxed);
    pool.blocks.store(b, std::memory_order_release);
    pool.carved = 0;
  }
  return &pool.blocks.load(std::memory_order_relaxed)->g[pool.carved++];
}

// A G with a stack: a hot one of this P, else half a P's worth from the shared list, else new.
G* g_get(P* p) noexcept {
  if (p)
    if (G* g = p->gfree.pop_front()) return g;
  {
    LockGuard hold(pool.lock);
    if (G* g = pool.free.pop_front()) {
      while (p && p->gfree.size() < kLocalFree / 2 && !pool.free.empty())
        p->gfree.push_back(pool.free.pop_front());
      return g;
    }
  }
  G* g = g_carve();
  if (!g) return nullptr;
  g->stack = stack_alloc();
  if (!g->stack) return nullptr;
  g->fiber.bottom = g->stack.low;
  g->fiber.size = g->stack.size();
  fiber_create(g->fiber);
  return g;
}

void spill_free(P* p) noexcept {
  GList batch;
  while (p->gfree.size() > kLocalFree / 2) batch.push_back(p->gfree.pop_front());
  LockGuard hold(pool.lock);
  const bool trim = pool.free.size() > kHotGlobal;
  while (G* g = batch.pop_front()) {
    if (trim) stack_trim(g->stack);
    pool.free.push_front(g);
  }
}

std::uint64_t next_id(P* p) noexcept {
  if (!p) return sched.next_id.fetch_add(1, std::memory_order_relaxed);
  if (p->id_next == p->id_end) {
    p->id_next = sched.next_id.fetch_add(kIdBatch, std::memory_order_relaxed);
    p->id_end = p->id_next + kIdBatch;
  }
  return p->id_next++;
}

void hook_free(M* m, G* g, void*) { g_free(m, g); }

// Spread over cache sets: stacks are page-aligned, and their tops would all fall into the same.
std::byte* coloured_top(const Stack& s, std::uintptr_t n) noexcept {
  return s.high - 64 * (1 + n % 16);
}

}  // namespace

G* g_alloc_foreign() noexcept {
  G* g = g_carve();
  if (!g) fatal("out of memory for a thread's G");
  g->foreign = true;
  return g;
}

void g_free(M* m, G* g) noexcept {
  P* p = m->p.load(std::memory_order_relaxed);
  stack_clean(g->stack.low, g->stack.size());
  g->context = nullptr;
  g->bound_m = nullptr;
  g->status.store(GStatus::idle, std::memory_order_relaxed);
  p->counters.ended.add(1);
  p->gfree.push_front(g);
  if (p->gfree.size() > kLocalFree) spill_free(p);
}

void g_give_back(P* p) noexcept {
  LockGuard hold(pool.lock);
  pool.free.append(p->gfree);
}

void for_each_g(void (*visit)(G*, void*), void* arg) {
  for (Block* b = pool.blocks.load(std::memory_order_acquire); b; b = b->next)
    for (G& g : b->g) visit(&g, arg);
}

// Where every goroutine begins, called by treadle_rt_entry() on its own stack. Neither noexcept nor
// with a catch: an exception that leaves the closure finds no frame above the entry, so
// std::terminate() runs with the whole stack in place.
extern "C" TREADLE_UNINSTRUMENTED void treadle_rt_goroutine_main() {
  G* g;
  {
    M* m = getm();
    g = m->curg;
    fiber_arrive(g->fiber);
    after_switch(m);
  }
  leave();
  g->entry(g->closure);
  enter_as(false);  // the closure is gone; nothing is moved any more
  goexit_switch(&hook_free);
}

}  // namespace rt

namespace detail {

using namespace rt;

NewGoroutine new_goroutine(std::size_t size, std::size_t align) {
  ensure_started();
  Entry entry;
  M* m = entry.m();
  G* g = g_get(m->foreign ? nullptr : m->p.load(std::memory_order_relaxed));
  if (!g)
    fatal("out of memory for a goroutine's stack (see vm.max_map_count and the memory limit)");
  std::byte* top = coloured_top(g->stack, reinterpret_cast<std::uintptr_t>(g) / sizeof(G));
  const std::uintptr_t mask = (align < 16 ? 16 : align) - 1;
  auto* closure =
      reinterpret_cast<std::byte*>((reinterpret_cast<std::uintptr_t>(top) - size) & ~mask);
  return {g, closure};
}

void start_goroutine(NewGoroutine n, EntryFn entry_fn, const std::source_location& site) noexcept {
  Entry entry;
  M* m = entry.m();
  P* p = m->foreign ? nullptr : m->p.load(std::memory_order_relaxed);
  G* g = static_cast<G*>(n.g);
  g->entry = entry_fn;
  g->closure = n.closure;
  g->site.store(site, std::memory_order_relaxed);
  g->depth = 1;
  g->id.store(next_id(p), std::memory_order_relaxed);
  auto frame = reinterpret_cast<std::uintptr_t>(n.closure) & ~std::uintptr_t{15};
  g->sched.sp = gobuf_prepare(reinterpret_cast<std::byte*>(frame));
  g->status.store(GStatus::runnable, std::memory_order_relaxed);
  if (p) {
    p->counters.spawned.add(1);
    runqput(p, g, true);
    if (several_ps()) wakep();
    return;
  }
  sched.foreign_spawned.fetch_add(1, std::memory_order_relaxed);
  GList list;
  list.push_back(g);
  inject(nullptr, list);
}

void abandon_goroutine(NewGoroutine n) noexcept {
  Entry entry;
  M* m = entry.m();
  G* g = static_cast<G*>(n.g);
  if (!m->foreign) {
    m->p.load(std::memory_order_relaxed)->gfree.push_front(g);
    return;
  }
  LockGuard hold(pool.lock);
  pool.free.push_front(g);
}

}  // namespace detail

void gosched() {
  rt::ensure_started();
  rt::ParkingEntry entry;
  if (rt::getm()->foreign) {
    ::sched_yield();
    return;
  }
  rt::yield_g(rt::YieldTo::local_queue);
}

std::uint64_t goroutine_id() noexcept {
  rt::M* m = rt::getm();
  return m->curg ? m->curg->id.load(std::memory_order_relaxed) : 0;
}

bool in_goroutine() noexcept {
  rt::M* m = rt::getm();
  return !m->foreign && m->curg != nullptr;
}

}  // namespace treadle
