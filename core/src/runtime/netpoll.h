// The network poller: edge-triggered readiness of descriptors, as parking and waking of Gs.
//
// A PollDesc has a read and a write side, each in one of four states:
//   nil      nothing known, nobody waits
//   ready    an edge came since it was last cleared
//   waiting  a G is about to park
//   G*       that G is parked
// The poller, close() and deadlines move a side to ready or nil and thereby claim the G that stood
// there; the compare-and-swap has one winner.
//
// Why no wake-up is lost: prepare() clears ready *before* the system call, so an edge after that is
// kept as ready and the wait returns at once. close(), a deadline and a Context first store their
// mark, then look at the side; wait() first stores `waiting`, then looks at the marks (both
// sequentially consistent): one of them sees the other.
//
// PollDescs are type-stable: never freed, reused for other descriptors. An event carries the
// generation it was registered under; what remains of an older one cannot change the newer's
// sticky flags, and at worst wakes its G for nothing.
#pragma once

#include <atomic>
#include <cstdint>

#include <treadle/detail/poll_desc.h>

#include "runtime/g.h"
#include "runtime/timers.h"

namespace treadle::rt {

struct PollDesc;
struct PeerWatch;

// One direction of a descriptor.
struct PollSide {
  std::atomic<std::uintptr_t> state{0};
  // Nanoseconds of the runtime's clock; kNever: none; kExpired: it has passed. Stored by
  // set_deadline(); kNever and later times lazily, see there.
  std::atomic<std::int64_t> deadline{kNever};
  std::atomic<std::int64_t> armed{kNever};  // when the timer will look next
  Timer timer;
};

inline constexpr std::uintptr_t kPollNil = 0;
inline constexpr std::uintptr_t kPollReady = 1;
inline constexpr std::uintptr_t kPollWaiting = 2;
inline constexpr std::int64_t kExpired = -1;

struct alignas(64) PollDesc {
  PollSide side[2];  // by PollMode
  // Generation in the high half; below it kPeerClosed and kUrgent, which stay once seen. One word,
  // so that a late event cannot mark a newer generation. Stored before the side becomes ready; all
  // of it sequentially consistent, so that whoever clears that "ready" sees the mark as well.
  std::atomic<std::uint64_t> seen{0};
  // Holders of the descriptor number (the owner counts as one), and kClosing above them.
  std::atomic<std::uint32_t> users{0};
  // A PeerWatch, with the generation above its 48 bits of address; 0: none, or taken. Whoever
  // exchanges it for 0 owns it. Sequentially
  // consistent with `seen`: who stores it then looks at kPeerClosed, the poller the other way
  // round, so one of them takes it.
  std::atomic<std::uint64_t> peer_watch{0};
  int fd = -1;
  bool ignore_context = false;
  PollDesc* link = nullptr;  // free list
  // Left by an owner before, for the next watch: most connections end without the poller having
  // seen their peer go. The owner's.
  PeerWatch* spare_watch = nullptr;

  static constexpr std::uint64_t kPeerClosed = 1;
  static constexpr std::uint64_t kUrgent = 2;
  static constexpr std::uint32_t kClosing = 1u << 31;

  std::uint32_t generation() const noexcept {
    return static_cast<std::uint32_t>(seen.load(std::memory_order_relaxed) >> 32);
  }
  bool closing() const noexcept { return users.load(std::memory_order_seq_cst) & kClosing; }
};

// A context that is to be cancelled when a peer goes. Each watch has one of its own: a context may
// be watched for by several descriptors.
struct PeerWatch {
  CancelState* context = nullptr;  // retained
  PeerWatch* next = nullptr;
};

// What a poll leaves to be done by its caller, once it has a P or knows that it gets none.
struct PollWork {
  GList ready;                // marked runnable
  PeerWatch* gone = nullptr;  // of peers that have gone, through next
};

// A goroutine waits for the read side of `pd` without a stack. True: it is inside the guard and
// must leave its stack by netpoll_dormant_hook(). False: there is nothing to wait for any more; a
// goroutine that cannot do without its stack has waited on it.
bool netpoll_dormant_begin(PollDesc* pd) noexcept;
void netpoll_dormant_hook(M* m, G* g, void* pd) noexcept;

void netpoll_init();
// Polls for at most `timeout_ns` (0: does not wait; negative: until something comes) and appends
// what it found. Any thread; while it waits without a P. The caller makes the Gs runnable by
// netpoll_finish().
void netpoll(std::int64_t timeout_ns, PollWork& work) noexcept;
// Queues the Gs and cancels the contexts. An `m` that is null or has no P leaves the contexts to
// whoever looks for work next: cancelling starts goroutines, and sysmon must not even allocate.
void netpoll_finish(M* m, PollWork& work) noexcept;
// Whether contexts were left so; they count as queued work.
bool netpoll_left() noexcept;
void netpoll_take_left(M* m) noexcept;
// True when some goroutine waits for a descriptor, or one that did is in a netpoll()'s list. A walk
// over all descriptors ever made, which ends at the first that is waited for.
bool netpoll_waited_for() noexcept;
// Ends a wait in netpoll(). Any thread.
void netpoll_break() noexcept;
// How many descriptors are registered.
std::int32_t netpoll_waiters() noexcept;

}  // namespace treadle::rt
