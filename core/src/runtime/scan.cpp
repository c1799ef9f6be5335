#include "runtime/scan.h"

#include <algorithm>
#include <cstdint>

#include "runtime/note.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"

namespace treadle::rt {

Lock scan_lock;
std::atomic<bool> scan_fence{false};

namespace {

// Below a saved stack pointer the ABI lets leaf functions use 128 bytes.
constexpr std::size_t kRedZone = 128;
constexpr std::size_t kPage = 4096;

struct Sweep {
  std::int64_t before;
  std::size_t younger = 0;
  std::size_t n = 0;
  G* batch[kScanBatch];
};

void trim_batch(Sweep& s) noexcept {
  UnusedRange ranges[kScanBatch];
  std::size_t n = 0;
  const std::span<G*> gs{s.batch, s.n};
  scan_begin(gs);
  for (G* g : gs) {
    if (!g) continue;
    const std::int64_t since = g->waiting_since.load(std::memory_order_relaxed);
    if (g->status.load(std::memory_order_relaxed) != GStatus::waiting || since > s.before) continue;
    g->trimmed_wait = since;
    const std::uintptr_t sp = reinterpret_cast<std::uintptr_t>(g->sched.sp) - kRedZone;
    auto* end = reinterpret_cast<std::byte*>(sp / kPage * kPage);
    if (end > g->stack->low)
      ranges[n++] = {g->stack->low, static_cast<std::size_t>(end - g->stack->low)};
  }
  trim_ranges({ranges, n});
  scan_end(gs);
  s.n = 0;
}

void visit(G* g, void* arg) {
  auto& s = *static_cast<Sweep*>(arg);
  if (g->foreign || g->status.load(std::memory_order_relaxed) != GStatus::waiting) return;
  const std::int64_t since = g->waiting_since.load(std::memory_order_relaxed);
  if (since == g->trimmed_wait) return;
  if (since > s.before) {
    ++s.younger;
    return;
  }
  s.batch[s.n++] = g;
  if (s.n == kScanBatch) trim_batch(s);
}

}  // namespace

void scan_begin(std::span<G*> gs) noexcept {
  for (G* g : gs) g->scan.store(1, std::memory_order_relaxed);
  if (membarrier_available())
    membarrier_all();
  else
    std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with wait_for_scan()
  for (G*& g : gs) {
    // Acquire: pairs with after_switch(), which stored it once the registers were saved.
    const GStatus s = g->status.load(std::memory_order_acquire);
    const bool held = (s == GStatus::waiting || s == GStatus::runnable) && g->stack && g->sched.sp;
    if (held) continue;
    G* runs = g;
    g = nullptr;
    scan_end({&runs, 1});
  }
}

void scan_end(std::span<G* const> gs) noexcept {
  for (G* g : gs)
    if (g && g->scan.exchange(0, std::memory_order_release) == 2) futex_wake(g->scan, 1);
}

void wait_for_scan_slow(G* g) noexcept {
  const KeepErrno keep;
  for (int i = 0; i < 1000; ++i) {
    if (g->scan.load(std::memory_order_acquire) == 0) return;
    cpu_relax();
  }
  std::uint32_t held = 1;
  while (held != 0) {
    if (held == 2 || g->scan.compare_exchange_strong(held, 2, std::memory_order_acquire))
      futex_wait(g->scan, 2);
    held = g->scan.load(std::memory_order_acquire);
  }
}

std::size_t sweep_parked_stacks(std::int64_t before) noexcept {
  Sweep s{.before = before, .batch = {}};
  LockGuard hold(scan_lock);
  for_each_g(&visit, &s);
  if (s.n > 0) trim_batch(s);
  return s.younger;
}

}  // namespace treadle::rt
