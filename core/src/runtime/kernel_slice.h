// The kernel's own time slices: Linux 6.12 and newer let a thread choose its EEVDF slice, which
// decides how soon it runs after waking beside threads that compute.
//
// Ms and sysmon ask for the shortest, since they wait often and run briefly; the thread of a
// goroutine that computes without a P gets a long one until it comes back. Best effort: an older
// kernel, another scheduling class or a refusal change nothing. Threads and processes that an M
// starts inherit its slice, as they do its niceness.
#pragma once

namespace treadle::rt {

enum class KernelSlice {
  with_p,     // 0.1 ms
  computing,  // 20 ms
};

// Looks whether the kernel has them. Before there is an M. `wanted` false: they are left alone.
void kernel_slice_init(bool wanted) noexcept;
bool kernel_slice_available() noexcept;
// The calling thread is an M or sysmon.
void kernel_slice_adopt_thread() noexcept;
// `tid` loses its P while it computes, or comes back. Two system calls.
void kernel_slice_of_detached(int tid, KernelSlice slice) noexcept;

}  // namespace treadle::rt
