#include "runtime/foreign.h"

#include <atomic>
#include <new>

#include "runtime/extra.h"
#include "runtime/sched.h"

namespace treadle::rt {

namespace {

struct ForeignPool {
  Lock lock;
  M* free = nullptr;  // under lock; each keeps its G in curg
} pool;

// Gives the thread's M back when the thread ends. Later thread_local destructors that call treadle
// get another one, which is then kept by the dead thread: a few hundred bytes, once.
struct Release {
  M* m = nullptr;
  ~Release() {
    if (!m) return;
    end_extra(m->curg);
    setm(&foreign_sentinel);
    LockGuard hold(pool.lock);
    m->link = pool.free;
    pool.free = m;
  }
};
thread_local Release release;

}  // namespace

constinit M foreign_sentinel{M::Foreign{}};

M* foreign_m() noexcept {
  M* m;
  {
    LockGuard hold(pool.lock);
    m = pool.free;
    if (m) pool.free = m->link;
  }
  if (!m) {
    m = new (std::nothrow) M(M::Foreign{});
    if (!m) fatal("out of memory for a thread's M");
    G* g = g_alloc_foreign();
    g->m.store(m, std::memory_order_release);
    m->curg = g;
  }
  m->curg->context = nullptr;
  m->curg->status.store(GStatus::running, std::memory_order_relaxed);
  m->link = nullptr;
  m->rng = 0x9E3779B97F4A7C15ull ^ reinterpret_cast<std::uintptr_t>(m);
  m->guard.store(1, std::memory_order_relaxed);
  release.m = m;
  setm(m);
  return m;
}

}  // namespace treadle::rt
