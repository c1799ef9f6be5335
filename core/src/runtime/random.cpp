#include "runtime/random.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <ctime>

#include "runtime/foreign.h"
#include "runtime/sched.h"

namespace treadle::rt {

namespace {

constexpr std::int32_t kMostBound = 16;  // threads tied up by goroutines that gave way at random
constexpr int kSpareRounds = 10'000;

std::uint64_t seed_value = 0;         // stored before there is a second thread
std::atomic<std::int32_t> bound = 0;  // goroutines now giving way at random

// splitmix64: far apart states from neighbouring numbers.
std::uint64_t mix(std::uint64_t x) noexcept {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

// Whether the P could be handed on must not depend on how far the template thread has got: with one
// P that would spoil the order. Where it cannot make a thread at all, once is enough to find out.
bool wait_for_spare() noexcept {
  static std::atomic<bool> hopeless{false};
  if (spare_m_available()) return true;
  if (sched.procs.load(std::memory_order_relaxed) > 1 || hopeless.load(std::memory_order_relaxed))
    return false;
  const KeepErrno keep;
  for (int i = 0; i < kSpareRounds; ++i) {
    const timespec moment{0, 50'000};
    ::nanosleep(&moment, nullptr);
    if (spare_m_available()) return true;
  }
  hopeless.store(true, std::memory_order_relaxed);
  return false;
}

}  // namespace

void random_start(std::uint64_t seed) noexcept {
  seed_value = seed;
  sched.random = seed != 0;
}

std::uint64_t random_seed() noexcept { return seed_value; }

void random_adopt(P* p) noexcept { p->rng = mix(mix(seed_value) + static_cast<unsigned>(p->id)); }

std::uint64_t random_m_state(std::uint64_t id) noexcept { return mix(~mix(seed_value) + id) | 1; }

std::uint32_t random_below(P* p, std::uint32_t n) noexcept {
  p->rng = p->rng * 6364136223846793005ull + 1442695040888963407ull;
  return static_cast<std::uint32_t>((mix(p->rng) >> 32) % n);
}

RandomStep random_step(M* m, bool parking) noexcept {
  P* p = m->p.load(std::memory_order_relaxed);
  random_pause(m);
  if (random_once_in(p, 16)) p->long_hints.store(random_below(p, 4), std::memory_order_relaxed);
  if (parking) {
    switch (random_below(p, 12)) {
      case 0: return RandomStep::yield_local;
      case 1: return RandomStep::yield_global;
      default: return RandomStep::go_on;
    }
  }
  // A switch of threads each time: rarer.
  if (!random_once_in(p, 64) || bound.load(std::memory_order_relaxed) >= kMostBound)
    return RandomStep::go_on;
  if (!wait_for_spare()) return RandomStep::go_on;
  bound.fetch_add(1, std::memory_order_relaxed);
  return RandomStep::give_way;
}

void random_step_done() noexcept { bound.fetch_sub(1, std::memory_order_relaxed); }

bool random_global_turn(P* p) noexcept {
  return sched.runq_size.load(std::memory_order_relaxed) != 0 && !runq_empty(p) &&
         random_once_in(p, 4);
}

G* random_local_runq(P* p, bool* inherit) noexcept {
  *inherit = false;
  if (!p->runq.empty() && p->runnext.load(std::memory_order_relaxed) && random_once_in(p, 2)) {
    G* g = p->runnext.load(std::memory_order_relaxed);
    if (g && p->runnext.compare_exchange_strong(g, nullptr, std::memory_order_acquire)) {
      *inherit = random_below(p, 2) == 0;
      return g;
    }
  }
  const std::uint32_t n = p->runq.size();
  if (n > 1) {
    for (std::uint32_t skip = random_below(p, n); skip > 0; --skip) {
      G* g = p->runq.pop();
      if (!g) break;          // thieves were quicker
      (void)p->runq.push(g);  // there is room: we took it out
    }
  }
  if (G* g = p->runq.pop()) return g;
  G* g = p->runnext.load(std::memory_order_relaxed);
  if (g && p->runnext.compare_exchange_strong(g, nullptr, std::memory_order_acquire)) return g;
  return nullptr;
}

void random_rotate(P* p, GList& list) noexcept {
  const std::uint32_t n = std::min(list.size(), 2 * kRandomRunq);
  if (n < 2) return;
  for (std::uint32_t skip = random_below(p, n); skip > 0; --skip) list.push_back(list.pop_front());
}

void random_pause(M* m) noexcept {
  if (!sched.random || m == &foreign_sentinel) return;  // the sentinel is every thread's
  const std::uint64_t r = fast_random(m) >> 32;
  if (r % 8 != 0) return;
  if (r % 512 == 0) {
    ::sched_yield();
    return;
  }
  for (std::uint64_t i = (r >> 8) % 200; i > 0; --i) cpu_relax();
}

}  // namespace treadle::rt
