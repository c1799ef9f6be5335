// Saved registers of a stack that is not running, and the switch between two stacks.
//
// A gobuf is one stack pointer: the callee-saved registers lie on the stack itself, below the
// return address. The switch ends in `ret`, so that the return predictor stays in step with the
// calls (ending in a jump costs five times the switch). mxcsr and the x87 control word are not
// switched: a goroutine that changes them must restore them before it parks.
#pragma once

#include <cstddef>
#include <cstdint>

namespace treadle::rt {

struct Gobuf {
  void* sp = nullptr;
};

extern "C" {
// Saves the caller's registers on its stack and the stack pointer in *save, continues at `load`.
// Returns when somebody switches back. The caller may then be on another thread.
void treadle_rt_switch(void** save, void* load);
// Where a fresh stack begins: calls goroutine_main(). Unwinders stop here.
void treadle_rt_entry();
// Calls fn(arg). An unwinder that comes by from there goes on in whoever saved `sp`.
void treadle_rt_walk_from(void* sp, void (*fn)(void*), void* arg);
}

// Prepares a stack that has never run: the first switch to the result enters goroutine_main() with
// the stack pointer at `top` (16-byte aligned) or just below.
void* gobuf_prepare(std::byte* top) noexcept;

// Where the switch that saved `sp` will return to.
const void* gobuf_return_address(const void* sp) noexcept;

}  // namespace treadle::rt
