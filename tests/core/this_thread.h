// What belongs to a thread, read out of line: over a park the compiler would keep the address of a
// thread-local variable, and of errno, though the goroutine may go on on another thread.
#pragma once

#include <pthread.h>

#include <cerrno>

namespace treadle::test {

[[gnu::noinline]] inline pthread_t this_thread() {
  asm volatile("" ::: "memory");
  return ::pthread_self();
}

[[gnu::noinline]] inline int read_errno() {
  asm volatile("" ::: "memory");
  return errno;
}

[[gnu::noinline]] inline void write_errno(int e) {
  errno = e;
  asm volatile("" ::: "memory");
}

inline thread_local int per_thread = 0;

[[gnu::noinline]] inline int* per_thread_address() {
  asm volatile("" ::: "memory");
  return &per_thread;
}

}  // namespace treadle::test
