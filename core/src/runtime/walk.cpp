#include "runtime/walk.h"

#include <ucontext.h>
#include <unwind.h>

#include <cstring>

#include "runtime/gobuf.h"

namespace treadle::rt {

namespace {

struct Walk {
  StackTrace* trace;
  const void* from;  // recording begins at this address; null: at once
};

_Unwind_Reason_Code visit(_Unwind_Context* context, void* arg) {
  auto* walk = static_cast<Walk*>(arg);
  auto* pc = reinterpret_cast<void*>(_Unwind_GetIP(context));
  if (!pc) return _URC_END_OF_STACK;
  if (walk->from) {
    if (pc != walk->from) return _URC_NO_REASON;
    walk->from = nullptr;
  }
  walk->trace->add(pc);
  return _URC_NO_REASON;
}

void walk_now(void* arg) { _Unwind_Backtrace(&visit, arg); }

}  // namespace

void walk_here(StackTrace& into) noexcept {
  Walk walk{&into, __builtin_return_address(0)};
  walk_now(&walk);
}

void walk_saved(void* sp, StackTrace& into) noexcept {
  Walk walk{&into, gobuf_return_address(sp)};
  treadle_rt_walk_from(sp, &walk_now, &walk);
}

void walk_interrupted(const void* ucontext, StackTrace& into) noexcept {
  auto* at =
      reinterpret_cast<void*>(static_cast<const ucontext_t*>(ucontext)->uc_mcontext.gregs[REG_RIP]);
  Walk walk{&into, at};
  walk_now(&walk);
  // Frames are looked up one byte before a return address; this one is no return address.
  if (into.frames > 0) into.newest[0] = static_cast<char*>(into.newest[0]) + 1;
}

void walk_init() noexcept {
  StackTrace trace;
  walk_here(trace);
}

void print_stack(TextOut& out, const StackTrace& trace, Symbols symbols) noexcept {
  const std::uint32_t head = trace.frames < StackTrace::kEnd ? trace.frames : StackTrace::kEnd;
  bool inside = true;  // of the runtime, at the newest end
  for (std::uint32_t i = 0; i < head; ++i)
    if (print_frame(out, trace.newest[i], symbols, inside || i + 4 > trace.frames)) inside = false;
  if (trace.frames <= StackTrace::kEnd) return;
  const std::uint32_t rest = trace.frames - StackTrace::kEnd;
  const std::uint32_t tail = rest < StackTrace::kEnd ? rest : StackTrace::kEnd;
  if (rest > tail) out.print("    ... %u frames more ...\n", rest - tail);
  for (std::uint32_t i = trace.frames - tail; i < trace.frames; ++i)
    print_frame(out, trace.oldest[i % StackTrace::kEnd], symbols, i + 4 > trace.frames);
}

}  // namespace treadle::rt
