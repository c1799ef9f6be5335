// Keeping a goroutine on one thread.
//
//   treadle::go([] {
//     treadle::OsThreadLock lock;       // for a library with thread-local state
//     gl_make_current(context);
//     for (auto frame : frames) draw(frame);
//   });
#pragma once

namespace treadle {

// Ties the calling goroutine to the thread it is on: until as many unlock_os_thread(), it runs only
// there, and the thread runs nothing else. thread_locals, errno's address, std::mutex ownership,
// signal masks and whatever a library keeps for a thread then hold across parks. Goroutines it
// starts are not tied. One that ends while tied takes the thread with it, as it may have changed
// it; all others find their threads as they were.
// A tied goroutine that waits gives its P away, and its thread sleeps: each wait and each wake-up
// is a switch of threads, some 10 us instead of 20 ns.
// May park; does nothing on a plain thread, which is always its own.
// Throws std::system_error (resource_unavailable_try_again) when the thread limit leaves no other
// thread to run goroutines.
void lock_os_thread();
// Undoes one lock_os_thread(); does nothing when there is none. Never parks.
void unlock_os_thread() noexcept;

// Locks for a scope; one must end on the goroutine that began it.
class OsThreadLock {
 public:
  OsThreadLock() { lock_os_thread(); }
  ~OsThreadLock() { unlock_os_thread(); }
  OsThreadLock(const OsThreadLock&) = delete;
  OsThreadLock& operator=(const OsThreadLock&) = delete;
};

}  // namespace treadle
