// Goroutine stacks: reserved address space, committed by touch, each with a guard below it.
//
// Stacks are carved out of slabs, one mapping each. Where the kernel has lightweight guards
// (MADV_GUARD_INSTALL, 6.13) a guard costs no mapping of its own; elsewhere it is an mprotect,
// which costs two, so that the kernel's limit (vm.max_map_count) ends at about 32,000 stacks.
// Huge pages are refused for the whole slab: one would commit 2 MB for a stack's first page.
#pragma once

#include <cstddef>
#include <cstdint>

namespace treadle::rt {

struct Stack {
  std::byte* low = nullptr;   // lowest usable byte; the guard ends here
  std::byte* high = nullptr;  // one past the highest
  std::size_t size() const noexcept { return static_cast<std::size_t>(high - low); }
  explicit operator bool() const noexcept { return low != nullptr; }
};

inline constexpr std::size_t kGuardSize = 16 * 4096;

// Sets the size of every stack, guard excluded; before the first stack_alloc().
void stack_init(std::size_t size) noexcept;
// A new stack, or none when the system has no more memory or mappings to give. Any thread, inside
// the guard.
Stack stack_alloc() noexcept;
// Gives the memory of a stack that is not in use back to the system; the stack stays usable.
void stack_trim(const Stack& s) noexcept;
// True when `address` lies in the guard of `s`.
bool stack_guard_contains(const Stack& s, const void* address) noexcept;

}  // namespace treadle::rt
