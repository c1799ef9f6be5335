// G: a goroutine. See sched.h for the states and their owners.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <source_location>

#include <treadle/go.h>

#include "runtime/eh_globals.h"
#include "runtime/gobuf.h"
#include "runtime/stack.h"

namespace treadle::rt {

struct M;
struct Bubble;
struct ContextState;
struct GExtra;
struct TimerState;

enum class GStatus : std::uint8_t {
  idle,      // on a free list, or being prepared; owned by whoever holds it
  runnable,  // on a run queue, which owns it; without a stack when it has never run, or was dormant
  running,   // on an M; owned by itself. Detached when that M's request line says `lost`
  waiting,   // parked; owned by whoever will call goready()
  dead,      // has returned; owned by the M that switches away from it
  dormant,   // parked without a stack until a descriptor can be read; owned as `waiting`
};

// How soon sysmon takes the P from a goroutine that gives no hint.
enum class SliceKind : std::uint8_t {
  whole,
  computes,  // its goroutine is known to compute for long
  blocks,    // its goroutine is known to wait in calls that give no hint
  hints,     // as whole; its goroutine is known to make long hinted calls. Never a P's
};

// Why a goroutine waits; shown in dumps. One text for each in wait_reason_text().
enum class WaitReason : std::uint8_t {
  none,
  sleep,
  chan_send,
  chan_recv,
  chan_nil,
  mutex,
  wait_group,
  io_read,
  io_write,
  context,
  signal,
  select,
  cond,
  rw_mutex_read,
  rw_mutex_write,
  once,
  semaphore,
  task,
  task_group,
  one_shot,
  broadcast,
  watch,
  worker_pool,
  rate_limiter,
  batcher,
  descriptor,
  subprocess,
  virtual_time,
  blocking,
};
const char* wait_reason_text(WaitReason r) noexcept;

// Laid out by who touches what: the first line is all that a switch, a wait and a wake-up need, the
// second what starting a goroutine adds.
struct alignas(128) G {
  Gobuf sched;                 // valid while not running and with a stack
  Stack* stack = nullptr;      // from the first instruction to the last
  G* link = nullptr;           // next in the one list that owns this G
  std::atomic<M*> m{nullptr};  // where it runs; stored by that M, read by dumps
  // The only M that may run it, or null. Set by the G itself before it is queued; whoever dequeues
  // it hands the P to that M.
  M* bound_m = nullptr;
  std::atomic<std::int64_t> waiting_since{0};  // coarse clock, for dumps and the sweep
  std::atomic<std::uint32_t> scan{0};          // held by an inspector; see scan.h
  std::uint16_t depth = 1;                     // guard depth while not running
  // For so many slices to come it is known to do what `hog_slice` says, since it lost its P. The
  // runner's.
  std::uint8_t hog = 0;
  SliceKind hog_slice = SliceKind::whole;
  std::atomic<GStatus> status{GStatus::idle};        // stored by the state's owner
  std::atomic<WaitReason> reason{WaitReason::none};  // stored before `waiting`
  bool eh_saved = false;                             // `eh` holds something
  std::atomic<bool> foreign{false};                  // stands for a plain thread: has no stack
  StackClass stack_class = 0;
  bool in_bubble = false;  // `bubble` is not null; its own
  // Parked where only its bubble can wake it, and not counted as active there. Stored by the parker
  // before it publishes itself, cleared by the one who wakes it.
  bool durable = false;
  bool outside = false;  // its next park may be ended from outside its bubble; its own
  std::atomic<bool> was_dormant{false};  // it has run before, though it has no stack; for dumps too
  // Due as soon as it parks, once; borrowed from who set it. Its own. See detail/park_alarm.h.
  TimerState* park_alarm = nullptr;

  alignas(64) detail::EntryFn entry = nullptr;
  std::atomic<std::uint64_t> id{0};          // set on starting it; atomic for dumps
  std::atomic<std::source_location> site{};  // where `go` was called; atomic for dumps
  std::atomic<std::uint64_t> parent{0};      // id of the goroutine that started it; for dumps
  // Name, labels, locals: see extra.h. Made on first use by whoever owns the G, then kept with it.
  std::atomic<GExtra*> extra{nullptr};
  alignas(8) std::byte closure[detail::kMaxInlineClosure];

  ContextState* context = nullptr;       // the current Context, borrowed from a ContextScope
  std::atomic<Bubble*> bubble{nullptr};  // whose virtual time it lives in; its own, read by reports
  EhGlobals eh;
  std::int64_t trimmed_wait = 0;  // the wait whose unused stack was given back; the sweep's
};

// A list of Gs through their link, in order.
class GList {
 public:
  bool empty() const noexcept { return head_ == nullptr; }
  std::uint32_t size() const noexcept { return size_; }
  G* front() const noexcept { return head_; }
  void push_back(G* g) noexcept {
    g->link = nullptr;
    (tail_ ? tail_->link : head_) = g;
    tail_ = g;
    ++size_;
  }
  void push_front(G* g) noexcept {
    g->link = head_;
    head_ = g;
    if (!tail_) tail_ = g;
    ++size_;
  }
  G* pop_front() noexcept {
    G* g = head_;
    if (!g) return nullptr;
    head_ = g->link;
    if (!head_) tail_ = nullptr;
    g->link = nullptr;
    --size_;
    return g;
  }
  // Takes out the first of the first `most` for which `wanted` holds; null for none.
  template <class F>
  G* remove_if(F wanted, int most) noexcept {
    G* before = nullptr;
    for (G* g = head_; g && most > 0; before = g, g = g->link, --most) {
      if (!wanted(g)) continue;
      (before ? before->link : head_) = g->link;
      if (tail_ == g) tail_ = before;
      g->link = nullptr;
      --size_;
      return g;
    }
    return nullptr;
  }
  void append(GList& o) noexcept {
    if (o.empty()) return;
    (tail_ ? tail_->link : head_) = o.head_;
    tail_ = o.tail_;
    size_ += o.size_;
    o = {};
  }

 private:
  G* head_ = nullptr;
  G* tail_ = nullptr;
  std::uint32_t size_ = 0;
};

}  // namespace treadle::rt
