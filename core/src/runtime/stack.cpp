#include "runtime/stack.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <charconv>
#include <new>

#include <treadle/detail/lock.h>
#include <treadle/log.h>

#include "runtime/note.h"
#include "runtime/sched.h"

namespace treadle::rt {

namespace {

constexpr std::size_t kSlabSize = 64u << 20;
constexpr int kMadvGuardInstall = 102;  // linux/mman.h of 6.13; Debian 12's headers lack it
constexpr int kPidfdSelf = -10000;      // linux/pidfd.h of 6.14: the calling process
constexpr std::uint32_t kHotShared = 256;
constexpr std::size_t kDescriptors = 64;  // made at once

struct SizeClass {
  std::size_t size = 0;
  std::byte* next = nullptr;  // the part of the newest slab not yet carved
  std::byte* end = nullptr;
  StackList hot;   // with memory
  StackList cold;  // without
};

struct StackPool {
  Lock lock;  // protects all below
  std::array<SizeClass, kStackClasses> classes;
  Stack* descriptors = nullptr;
  std::size_t descriptors_left = 0;
  GuardKind guard = GuardKind::probe;
  std::uint64_t mapping_limit = 0;  // with mprotect: stacks that fit; 0 not looked up
  std::atomic<std::uint64_t> made{0};
} pool;

// With a mapping on each side of every guard.
std::uint64_t stacks_below_mapping_limit() noexcept {
  char text[32];
  const int fd = ::open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
  const ssize_t n = fd < 0 ? -1 : ::read(fd, text, sizeof text);
  if (fd >= 0) ::close(fd);
  std::uint64_t mappings = 65530;
  if (n > 0) std::from_chars(text, text + n, mappings);
  return mappings / 2;
}

void note_mapping_limit() noexcept {
  if (pool.mapping_limit == 0) pool.mapping_limit = stacks_below_mapping_limit();
  // Once, while there is still time to do something about it.
  if (pool.made.load(std::memory_order_relaxed) == pool.mapping_limit / 5 * 4)
    service_request(ServiceWork::warn_mappings);
}

bool install_guard(std::byte* at) noexcept {
  switch (pool.guard) {
    case GuardKind::none: return true;
    case GuardKind::install: return ::madvise(at, kGuardSize, kMadvGuardInstall) == 0;
    case GuardKind::mprotect: break;
    case GuardKind::probe:
      if (::madvise(at, kGuardSize, kMadvGuardInstall) == 0) {
        pool.guard = GuardKind::install;
        return true;
      }
      pool.guard = GuardKind::mprotect;
  }
  note_mapping_limit();
  return ::mprotect(at, kGuardSize, PROT_NONE) == 0;
}

bool map_slab(SizeClass& c, std::size_t each) noexcept {
  const std::size_t size = each > kSlabSize ? each : kSlabSize / each * each;
  void* p = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (p == MAP_FAILED) return false;
  ::madvise(p, size, MADV_NOHUGEPAGE);  // fails where there are no huge pages: just as well
  c.next = static_cast<std::byte*>(p);
  c.end = c.next + size;
  return true;
}

Stack* new_descriptor() noexcept {
  if (pool.descriptors_left == 0) {
    pool.descriptors = new (std::nothrow) Stack[kDescriptors];
    if (!pool.descriptors) return nullptr;
    pool.descriptors_left = kDescriptors;
  }
  return &pool.descriptors[--pool.descriptors_left];
}

Stack* stack_carve(StackClass index) noexcept {
  const KeepErrno keep;
  SizeClass& c = pool.classes[index];
  const std::size_t each = c.size + kGuardSize;
  if (static_cast<std::size_t>(c.end - c.next) < each && !map_slab(c, each)) return nullptr;
  if (!install_guard(c.next)) return nullptr;
  Stack* s = new_descriptor();
  if (!s) return nullptr;
  s->low = c.next + kGuardSize;
  s->high = c.next + each;
  c.next += each;
  // Spread over cache sets: stacks are page-aligned, and their first frames would all fall into the
  // same ones.
  const std::uint64_t n = pool.made.load(std::memory_order_relaxed);
  pool.made.store(n + 1, std::memory_order_relaxed);
  s->top = s->high - 64 * (1 + n % 16);
  s->size_class = index;
  s->fiber.bottom = s->low;
  s->fiber.size = s->size();
  stack_register(s->low, s->size());
  return s;
}

// Half of a P's cache, so that neither the next end nor the next start comes back here.
void refill(StackList& cache, SizeClass& c) noexcept {
  while (cache.size() < kHotStacks / 2 && !c.hot.empty()) cache.push(c.hot.pop());
}

// Makes room in `cache` down to `keep`. What the shared list has no use for gives its memory back,
// outside the lock.
void spill(StackList& cache, std::uint32_t keep) noexcept {
  while (cache.size() > keep) {
    StackList cold;
    UnusedRange ranges[kTrimBatch];
    std::size_t n = 0;
    {
      LockGuard hold(pool.lock);
      StackList& hot = pool.classes[0].hot;
      while (cache.size() > keep && hot.size() < kHotShared) hot.push(cache.pop());
    }
    while (cache.size() > keep && n < kTrimBatch) {
      Stack* s = cache.pop();
      ranges[n++] = {s->low, s->size()};
      cold.push(s);
    }
    trim_ranges({ranges, n});
    LockGuard hold(pool.lock);
    while (Stack* s = cold.pop()) pool.classes[0].cold.push(s);
  }
}

}  // namespace

void stack_init(std::size_t size, GuardKind guard) noexcept {
  LockGuard hold(pool.lock);
  pool.guard = guard;
  pool.classes[0].size = size;
  for (StackClass c = 1; c < kStackClasses; ++c) pool.classes[c].size = kMinStack / 2 << c;
}

StackClass stack_class_of(std::size_t size) noexcept {
  if (size == 0 || size == pool.classes[0].size) return 0;
  return static_cast<StackClass>(std::bit_width((size - 1) / (kMinStack / 2)));
}

Stack* stack_get(StackList* cache, StackClass index) noexcept {
  if (cache && index == 0)
    if (Stack* s = cache->pop()) return s;
  Stack* s;
  {
    LockGuard hold(pool.lock);
    SizeClass& c = pool.classes[index];
    s = c.hot.pop();
    if (s) {
      if (cache && index == 0) refill(*cache, c);
      return s;
    }
    s = c.cold.pop();
    if (!s) s = stack_carve(index);
  }
  if (s) fiber_create(s->fiber);
  return s;
}

void stack_put(StackList& cache, Stack* s) noexcept {
  stack_clean(s->low, s->size());
  if (s->size_class == 0) {
    cache.push(s);
    if (cache.size() > kHotStacks) spill(cache, kHotStacks / 2);
    return;
  }
  // Rare sizes are shared, and may be deep.
  const UnusedRange all{s->low, s->size()};
  trim_ranges({&all, 1});
  LockGuard hold(pool.lock);
  pool.classes[s->size_class].cold.push(s);
}

void stack_flush(StackList& cache) noexcept { spill(cache, 0); }

void trim_ranges(std::span<const UnusedRange> ranges) noexcept {
  if (ranges.empty()) return;
  static std::atomic<bool> one_by_one{false};  // the kernel has no batches for the own process
  const KeepErrno keep;
  if (ranges.size() > 1 && !one_by_one.load(std::memory_order_relaxed)) {
    iovec vectors[kTrimBatch];
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      vectors[i] = {ranges[i].low, ranges[i].size};
      bytes += ranges[i].size;
    }
    const long done =
        ::syscall(SYS_process_madvise, kPidfdSelf, vectors, ranges.size(), MADV_DONTNEED, 0);
    if (done == static_cast<long>(bytes)) return;
    if (done < 0) one_by_one.store(true, std::memory_order_relaxed);
  }
  for (const UnusedRange& r : ranges) ::madvise(r.low, r.size, MADV_DONTNEED);
}

bool stack_guard_contains(const Stack& s, const void* address) noexcept {
  auto* a = static_cast<const std::byte*>(address);
  return a >= s.low - kGuardSize && a < s.low;
}

std::uint64_t stacks_made() noexcept { return pool.made.load(std::memory_order_relaxed); }

void warn_mappings() {
  log::warn(
      "goroutine stacks near the kernel's limit of mappings: {} of about {} that vm.max_map_count "
      "allows with mprotect guards; raise it, or run Linux 6.13, whose guards need none",
      stacks_made(), pool.mapping_limit);
}

}  // namespace treadle::rt
