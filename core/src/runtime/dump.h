// Dumps of all goroutines; the public side is <treadle/dump.h>.
#pragma once

#include "runtime/g.h"
#include "runtime/text_out.h"
#include "runtime/walk.h"

namespace treadle::rt {

enum class DumpKind {
  live,   // the process goes on: goroutines that run are not disturbed
  dying,  // it does not: their threads are interrupted for their stacks. Signal handlers too
};
void dump_all(TextOut& out, DumpKind kind, bool stacks) noexcept;

// "goroutine 7 "name" {k=v}, created at file:line in function by goroutine 3".
void print_origin(TextOut& out, const G* g);

// The stack of a goroutine that runs on another thread, which is interrupted for it. False: it did
// not answer in time. One caller at a time, and only when the process is about to end.
bool interrupt_for_stack(G* g, StackTrace& into) noexcept;

}  // namespace treadle::rt
