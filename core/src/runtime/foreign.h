// Plain threads: those the runtime did not make.
//
// A plain thread gets an M of its own (never with a P) and a G that stands for it, the first time
// it calls treadle. That G can wait in the same queues as any other: gopark() blocks the thread on
// a note, goready() wakes it. Both are recycled when the thread ends.
#pragma once

#include "runtime/m.h"

namespace treadle::rt {

// What every thread's getm() is before its first call; kReqSlow leads it to foreign_m(). Its
// counters are written by many threads and mean nothing.
extern M foreign_sentinel;

// Makes the calling thread's M, with guard 1, and sets it. Inside enter_slow() only.
M* foreign_m() noexcept;

}  // namespace treadle::rt
