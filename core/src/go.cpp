// Goroutines: making, starting and ending them, and the registry of all.
#include <treadle/go.h>

#include <sched.h>

#include <memory>
#include <new>
#include <utility>

#include "runtime/bubble.h"
#include "runtime/debug_layout.h"
#include "runtime/dispatch.h"
#include "runtime/extra.h"
#include "runtime/netpoll.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"

namespace treadle {

namespace rt {

namespace {

constexpr std::uint32_t kLocalFree = 256;  // ended Gs a P keeps
constexpr std::uint32_t kRefill = 64;      // so many at once from the shared list, or new
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

G* g_carve_locked() noexcept {
  if (pool.carved == kBlock) {
    auto* b = new (std::nothrow) Block;
    if (!b) return nullptr;
    b->next = pool.blocks.load(std::memory_order_relaxed);
    pool.blocks.store(b, std::memory_order_release);
    pool.carved = 0;
  }
  return &pool.blocks.load(std::memory_order_relaxed)->g[pool.carved++];
}

G* g_shared_locked() noexcept {
  G* g = pool.free.pop_front();
  return g ? g : g_carve_locked();
}

// A G without a stack. Null: out of memory.
G* g_get(P* p) noexcept {
  if (p) {
    if (G* g = p->gfree.pop_front()) {
      // The next one has perhaps not been touched for long.
      __builtin_prefetch(p->gfree.front());
      return g;
    }
  }
  LockGuard hold(pool.lock);
  G* first = g_shared_locked();
  for (std::uint32_t i = 1; first && p && i < kRefill; ++i)
    if (G* g = g_shared_locked()) p->gfree.push_back(g);
  return first;
}

void spill_free(P* p) noexcept {
  LockGuard hold(pool.lock);
  while (p->gfree.size() > kLocalFree / 2) pool.free.push_front(p->gfree.pop_front());
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

// For one that has not run and never will.
void g_keep(P* p, G* g) noexcept {
  if (g->stack) {
    StackList one;
    stack_put(one, std::exchange(g->stack, nullptr));
    stack_flush(one);
  }
  if (p) {
    p->gfree.push_front(g);
    return;
  }
  LockGuard hold(pool.lock);
  pool.free.push_front(g);
}

}  // namespace

G* g_alloc_foreign() noexcept {
  G* g;
  {
    LockGuard hold(pool.lock);
    g = g_carve_locked();
  }
  if (!g) fatal("out of memory for a thread's G");
  g->foreign = true;
  return g;
}

void g_free(M* m, G* g) noexcept {
  P* p = m->p.load(std::memory_order_relaxed);
  stack_put(p->stacks, std::exchange(g->stack, nullptr));
  g->context = nullptr;
  g->bound_m = nullptr;
  g->was_dormant.store(false, std::memory_order_relaxed);
  g->hog = 0;
  if (g->in_bubble) [[unlikely]]
    bubble_leave(m, g);
  g->status.store(GStatus::idle, std::memory_order_relaxed);
  p->counters.ended.add(1);
  p->gfree.push_front(g);
  if (p->gfree.size() > kLocalFree) spill_free(p);
}

void g_give_back(P* p) noexcept {
  stack_flush(p->stacks);
  LockGuard hold(pool.lock);
  pool.free.append(p->gfree);
}

bool g_give_stack(P* p, G* g) noexcept {
  g->stack = stack_get(p ? &p->stacks : nullptr, g->stack_class);
  if (!g->stack) return false;
  g->sched.sp = gobuf_prepare(g->stack->top);
  return true;
}

void publish_gs_to_debuggers() noexcept {
  debug_layout_init(&pool.blocks, kBlock, sizeof(G) * kBlock);
}

void for_each_g(void (*visit)(G*, void*), void* arg) {
  for (Block* b = pool.blocks.load(std::memory_order_acquire); b; b = b->next)
    for (G& g : b->g) visit(&g, arg);
}

[[noreturn]] TREADLE_UNINSTRUMENTED void end_current_goroutine(M* m) noexcept {
  m->locked_ended = m->locked_g != nullptr;
  leave_stack(&hook_free, nullptr, GStatus::dead);
}

// Where every goroutine begins, called by treadle_rt_entry() on its own stack. Neither noexcept nor
// with a catch: an exception that leaves the closure finds no frame above the entry, so
// std::terminate() runs with the whole stack in place.
// Used: only assembly names it, which link-time optimisation does not see.
extern "C" [[gnu::used]] TREADLE_UNINSTRUMENTED void treadle_rt_goroutine_main() {
  G* g;
  {
    M* m = getm();
    g = m->curg;
    fiber_arrive(g->stack->fiber);
    after_switch(m);
  }
  leave();
  while (PollDesc* awaited = g->entry(g->closure))
    if (netpoll_dormant_begin(awaited))
      leave_stack(&netpoll_dormant_hook, awaited, GStatus::dormant);
  end_extra(g);
  M* m = enter_as(false);  // the closure is gone; nothing is moved any more
  end_current_goroutine(m);
}

}  // namespace rt

namespace detail {

using namespace rt;

NewGoroutine new_goroutine(std::size_t stack_size, StackWhen when) {
  check_stack_size(stack_size);
  ensure_started();
  Entry entry;
  M* m = entry.m();
  P* p = m->foreign ? nullptr : m->p.load(std::memory_order_relaxed);
  G* g = g_get(p);
  if (!g) {
    if (when == StackWhen::now) return {};
    fatal("out of memory for a goroutine");
  }
  g->stack_class = stack_size == 0 ? StackClass{0} : stack_class_of(stack_size);
  if (when == StackWhen::now && !g_give_stack(p, g)) {
    g_keep(p, g);
    return {};
  }
  return {g, g->closure};
}

void set_options(NewGoroutine n, GoOptions&& options) {
  set_goroutine_options(static_cast<G*>(n.g), std::move(options));
}

void start_goroutine(NewGoroutine n, EntryFn entry_fn, const std::source_location& site) noexcept {
  Entry entry;
  M* m = entry.m();
  P* p = m->foreign ? nullptr : m->p.load(std::memory_order_relaxed);
  G* g = static_cast<G*>(n.g);
  g->entry = entry_fn;
  g->site.store(site, std::memory_order_relaxed);
  g->depth = 1;
  g->id.store(next_id(p), std::memory_order_relaxed);
  if (Bubble* b = current_bubble()) [[unlikely]]
    bubble_join(b, g);
  inherit_extra(m->curg, g);
  g->status.store(GStatus::runnable, std::memory_order_release);  // pairs with scan_begin()
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
  G* g = static_cast<G*>(n.g);
  end_extra(g);
  Entry entry;
  M* m = entry.m();
  g_keep(m->foreign ? nullptr : m->p.load(std::memory_order_relaxed), g);
}

}  // namespace detail

void gosched() {
  if (rt::getm()->foreign) [[unlikely]] {  // a thread that has not called treadle yet, too
    ::sched_yield();
    return;
  }
  rt::ParkingEntry entry;
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
