// What a thread of this process is doing, as the kernel says.
#pragma once

namespace treadle::rt {

enum class Activity {
  blocked,   // it sleeps in a system call, or waits for a page
  runnable,  // it runs, or would if it were let to
  unknown,   // /proc is not there, or does not tell
};

// Of the thread with the kernel's id `tid`. Three system calls, some microseconds; allocates
// nothing. Any thread.
Activity activity_of(int tid) noexcept;

}  // namespace treadle::rt
