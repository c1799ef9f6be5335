// Stacks: reserved address space, committed by touch, each with a guard below it.
//
// A stack belongs to the goroutine that runs on it from its first instruction to its last, else to
// one list: a P's (hot ones, last in first out) or the shared one, whose stacks beyond a few
// hundred have given their memory back. Descriptors and address space are never freed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/sanitizer.h"

namespace treadle::rt {

// 0: the configured default; n: 32 KiB << n.
using StackClass = std::uint8_t;

inline constexpr std::size_t kDefaultStack = 256u << 10;
inline constexpr std::size_t kMinStack = 64u << 10;
inline constexpr std::size_t kMaxStack = 64u << 20;
inline constexpr StackClass kStackClasses = 12;  // the default, and 64 KiB to 64 MiB

struct Stack {
  std::byte* low = nullptr;   // lowest usable byte; the guard ends here
  std::byte* high = nullptr;  // one past the highest
  std::byte* top = nullptr;   // where frames begin: coloured, see stack.cpp
  Stack* link = nullptr;      // next in the list that owns it
  StackClass size_class = 0;
  FiberState fiber;
  std::size_t size() const noexcept { return static_cast<std::size_t>(high - low); }
};

// A list of stacks through their link, last in first out.
class StackList {
 public:
  bool empty() const noexcept { return head_ == nullptr; }
  std::uint32_t size() const noexcept { return size_; }
  void push(Stack* s) noexcept {
    s->link = head_;
    head_ = s;
    ++size_;
  }
  Stack* pop() noexcept {
    Stack* s = head_;
    if (!s) return nullptr;
    head_ = s->link;
    --size_;
    return s;
  }

 private:
  Stack* head_ = nullptr;
  std::uint32_t size_ = 0;
};

inline constexpr std::size_t kGuardSize = 16 * 4096;

enum class GuardKind : std::uint8_t {
  probe,     // the lightest that the kernel has
  install,   // MADV_GUARD_INSTALL, Linux 6.13: no mapping of its own
  mprotect,  // two mappings a stack: some 32,000 stacks fit below the kernel's default limit
  none,      // overflow goes unnoticed
};

// Before the first stack is made. `size`: of default stacks, whole pages, guard excluded.
void stack_init(std::size_t size, GuardKind guard) noexcept;
// The class of stacks of at least `size` bytes (kMinStack to kMaxStack; 0: the default).
StackClass stack_class_of(std::size_t size) noexcept;
// A stack from `cache` (the P's, or null), else a shared one, else a new one; null when the system
// has no memory or mappings to give. Any thread, inside the guard.
Stack* stack_get(StackList* cache, StackClass c) noexcept;
// Takes back the stack of a goroutine that has ended; `cache` is its P's.
void stack_put(StackList& cache, Stack* s) noexcept;
// The most that a P keeps.
inline constexpr std::uint32_t kHotStacks = 64;
// Moves all of `cache` to the shared list.
void stack_flush(StackList& cache) noexcept;

// Unused memory at [low, low + size): what it held is lost.
struct UnusedRange {
  std::byte* low;
  std::size_t size;
};
// Gives the memory of unused ranges back to the system; at most kTrimBatch in one call.
inline constexpr std::size_t kTrimBatch = 64;
void trim_ranges(std::span<const UnusedRange> ranges) noexcept;

// True when `address` lies in the guard of `s`.
bool stack_guard_contains(const Stack& s, const void* address) noexcept;
// How many stacks have been made, all classes together.
std::uint64_t stacks_made() noexcept;
// Says in the log that the kernel's limit of mappings is near; the template thread's.
void warn_mappings();

}  // namespace treadle::rt
