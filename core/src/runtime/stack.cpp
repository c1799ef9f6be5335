#include "runtime/stack.h"

#include <sys/mman.h>

#include <treadle/detail/lock.h>

#include "runtime/note.h"
#include "runtime/sanitizer.h"

namespace treadle::rt {

namespace {

constexpr std::size_t kSlabSize = 64u << 20;
constexpr int kMadvGuardInstall = 102;  // linux/mman.h of 6.13; Debian 12's headers lack it

struct StackPool {
  Lock lock;  // protects all below
  std::size_t stack_size = 256u << 10;
  std::byte* next = nullptr;  // the part of the newest slab not yet carved
  std::byte* end = nullptr;
  bool guard_probed = false;
  bool light_guards = false;
} pool;

bool install_guard(std::byte* at) noexcept {
  if (!pool.guard_probed || pool.light_guards) {
    const bool ok = ::madvise(at, kGuardSize, kMadvGuardInstall) == 0;
    if (!pool.guard_probed) {
      pool.guard_probed = true;
      pool.light_guards = ok;
    }
    if (ok) return true;
    if (pool.light_guards) return false;
  }
  return ::mprotect(at, kGuardSize, PROT_NONE) == 0;
}

bool map_slab(std::size_t each) noexcept {
  const std::size_t size = each > kSlabSize ? each : kSlabSize / each * each;
  void* p = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (p == MAP_FAILED) return false;
  ::madvise(p, size, MADV_NOHUGEPAGE);  // fails where there are no huge pages: just as well
  pool.next = static_cast<std::byte*>(p);
  pool.end = pool.next + size;
  return true;
}

}  // namespace

void stack_init(std::size_t size) noexcept {
  LockGuard hold(pool.lock);
  pool.stack_size = size;
}

Stack stack_alloc() noexcept {
  const KeepErrno keep;
  LockGuard hold(pool.lock);
  const std::size_t each = pool.stack_size + kGuardSize;
  if (static_cast<std::size_t>(pool.end - pool.next) < each && !map_slab(each)) return {};
  if (!install_guard(pool.next)) return {};
  Stack s{pool.next + kGuardSize, pool.next + each};
  pool.next += each;
  stack_register(s.low, s.size());
  return s;
}

void stack_trim(const Stack& s) noexcept { ::madvise(s.low, s.size(), MADV_DONTNEED); }

bool stack_guard_contains(const Stack& s, const void* address) noexcept {
  auto* a = static_cast<const std::byte*>(address);
  return s && a >= s.low - kGuardSize && a < s.low;
}

}  // namespace treadle::rt
