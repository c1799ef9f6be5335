// Walking stacks by the unwinder, from here or from saved registers.
#pragma once

#include <cstdint>

#include "runtime/symbolize.h"
#include "runtime/text_out.h"

namespace treadle::rt {

// The return addresses of a stack, newest first: all of a usual one, both ends of a deep one.
struct StackTrace {
  static constexpr std::uint32_t kEnd = 32;
  void* newest[kEnd];
  void* oldest[kEnd];  // a ring
  std::uint32_t frames = 0;

  void add(void* pc) noexcept {
    (frames < kEnd ? newest[frames] : oldest[frames % kEnd]) = pc;
    ++frames;
  }
};

// The caller's own stack; from a signal handler also what it interrupted. Allocates nothing once
// walk_init() has run.
void walk_here(StackTrace& into) noexcept;
// A stack that is switched away from, by its saved stack pointer. It must not run meanwhile. Only
// reads it, on the caller's stack: the frame of treadle_rt_walk_from() tells the unwinder that
// its caller is the one whose registers are saved there.
void walk_saved(void* sp, StackTrace& into) noexcept;
// What a signal handler has interrupted, by its third argument.
void walk_interrupted(const void* ucontext, StackTrace& into) noexcept;
// Has the unwinder loaded before it is needed in a bad place.
void walk_init() noexcept;

// One line a function; the runtime's own at both ends are left out.
void print_stack(TextOut& out, const StackTrace& trace, Symbols symbols) noexcept;

}  // namespace treadle::rt
