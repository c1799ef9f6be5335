// The one door from net to the netpoller: a descriptor registered for edge-triggered readiness.
// Not for applications.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <treadle/context.h>
#include <treadle/result.h>

namespace treadle::rt {
struct PollDesc;
}

namespace treadle::detail {

enum class PollMode : std::uint8_t { read, write };

// What the poller has seen on the descriptor, for good. Any of them means that a short read no
// longer proves an empty buffer.
struct PollHints {
  bool peer_closed = false;  // RDHUP, HUP or ERR was reported: read to EAGAIN or to the end
  bool urgent = false;       // PRI was reported: a read may have stopped at an urgent mark
};

// Owns a descriptor and its registration with the poller. The pattern of every call that can
// wait, once a system call answered EAGAIN:
//
//   for (;;) {
//     if (auto r = pd.prepare(PollMode::read); !r) return fail(r.error());  // clears "ready"
//     ssize_t n = read_or_errno(pd.fd(), ...);  // out of line: -errno on failure
//     if (n >= 0) return n;
//     if (n != -EAGAIN) return fail_errno(-n);
//     if (auto r = pd.wait(PollMode::read); !r) return fail(r.error());     // parks
//   }
//
// errno must not be named in a function that also parks: its address may be kept over the park, and
// is then another thread's. prepare() comes before the system call whose EAGAIN leads to a wait,
// never after: clearing "ready" later would lose an edge that came in between.
//
// Who mostly succeeds at the first attempt makes it after a check() only, and after EAGAIN begins
// the loop above, without having waited: "ready" is for those who are going to wait. Left set, it
// spares the poller and the next attempt a locked instruction each; epoll reports a socket that can
// be written to with every edge of the other side.
class Pollable {
 public:
  Pollable() noexcept = default;
  // Takes `fd`, which must be non-blocking and CLOEXEC, whatever happens: on failure it is closed.
  static Result<Pollable> open(int fd);
  Pollable(Pollable&& o) noexcept : pd_(std::exchange(o.pd_, nullptr)) {}
  Pollable& operator=(Pollable o) noexcept {
    std::swap(pd_, o.pd_);
    return *this;
  }
  // Closes when that has not been done. Nobody may be waiting, or use it any more.
  ~Pollable();

  // For resumable.h. Null: it was moved from.
  rt::PollDesc* desc() const noexcept { return pd_; }
  // The descriptor; valid until close().
  int fd() const noexcept;
  explicit operator bool() const noexcept { return pd_ != nullptr; }

  // Begins an attempt: clears "ready" and reports an error already standing: closed, timed_out,
  // or the Context's, which counts before the first system call. Never parks.
  Result<void> prepare(PollMode mode) const noexcept;
  // The errors alone: for an attempt that is followed by a prepare() before anybody waits. Never
  // parks.
  Result<void> check(PollMode mode) const noexcept;
  // Parks until the descriptor may be ready (spurious wake-ups happen), its deadline passes, it is
  // closed, or the current Context ends. One waiter a side; a second one panics.
  // On a plain thread it blocks that thread.
  Result<void> wait(PollMode mode) const;

  PollHints hints() const noexcept;

  // Deadlines of all present and future waits of a side. Cheap when moved later. Any thread.
  void set_deadline(PollMode mode, Deadline d) const;
  Deadline deadline(PollMode mode) const noexcept;

  // Cancels `ctx`, made by with_cancel() and the like, once the peer is seen to close or reset: at
  // once when it has. Its cause() is then connection_aborted. It takes the place of one given
  // before; background ends the watch. Several descriptors may watch for one context. Never parks.
  void watch_peer(const Context& ctx) const;

  // From now on waits obey only the descriptor's deadlines, not the caller's Context.
  void ignore_context() noexcept;

  // Wakes both waiters with `closed`, removes the registration and closes the descriptor once the
  // last call under way on it has let go. Idempotent; any thread. Never parks.
  void close() noexcept;

  // A system call in progress keeps the descriptor number from being closed and reused under it.
  // Construct before using fd() where close() may come from another goroutine.
  class Use {
   public:
    explicit Use(const Pollable& p) noexcept;  // ok() is false when closed already
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    bool ok() const noexcept { return pd_ != nullptr; }

   private:
    rt::PollDesc* pd_;
  };

 private:
  explicit Pollable(rt::PollDesc* pd) noexcept : pd_(pd) {}
  rt::PollDesc* pd_ = nullptr;
};

}  // namespace treadle::detail
