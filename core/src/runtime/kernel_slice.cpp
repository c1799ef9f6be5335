#include "runtime/kernel_slice.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

#include "runtime/note.h"

namespace treadle::rt {

namespace {

// sched_setattr(2); the C library's header has it only in newer versions.
struct Attributes {
  std::uint32_t size;
  std::uint32_t policy;
  std::uint64_t flags;
  std::int32_t nice;
  std::uint32_t priority;
  std::uint64_t runtime;  // for ordinary threads the slice, in ns
  std::uint64_t deadline;
  std::uint64_t period;
};

bool available = false;  // stored before there is an M

// True when it is an ordinary thread whose slice the kernel tells.
bool read(int tid, Attributes& a) noexcept {
  a = {};
  return ::syscall(SYS_sched_getattr, tid, &a, sizeof a, 0) == 0 &&
         (a.policy == SCHED_OTHER || a.policy == SCHED_BATCH) && a.runtime != 0;
}

void set(int tid, KernelSlice slice) noexcept {
  const KeepErrno keep;
  Attributes a;
  if (!read(tid, a)) return;
  a.size = sizeof a;
  a.runtime = slice == KernelSlice::computing ? 20'000'000 : 100'000;
  ::syscall(SYS_sched_setattr, tid, &a, 0);
}

}  // namespace

void kernel_slice_init(bool wanted) noexcept {
  Attributes a;
  available = wanted && read(0, a);
}

bool kernel_slice_available() noexcept { return available; }

void kernel_slice_adopt_thread() noexcept {
  if (available) set(0, KernelSlice::with_p);
}

void kernel_slice_of_detached(int tid, KernelSlice slice) noexcept {
  if (available) set(tid, slice);
}

}  // namespace treadle::rt
