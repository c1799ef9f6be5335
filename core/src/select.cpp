// select: one wait for the first of several channels, contexts and points in time.
//
// Concepts
//   Each case that can wait has a node in its SelectOp: a Sudog in its channel's queue, or a node
//   in its context's list; all time cases together have one timer, for the earliest. All nodes
//   share one Waiter, whose claim one of the sources wins.
//
// Protocol
//   1. Look at every case without a lock and choose among the ready ones, each equally likely. A
//      channel's case is then tried under that channel's lock; another may have been quicker, so it
//      may fail: then the next of them. A select that finds work takes one lock.
//   2. Otherwise take the locks of all channels, in the order of their addresses, each once. Look
//      and choose again. Nothing ready: with a default, that; else put a Sudog on every queue, and
//      unlock. So a select that does not find anything ready, found so at one moment, and whoever
//      comes later to one of the channels finds the Sudog.
//   3. Register with the contexts, arm the timer, park. A source that comes before we have parked
//      claims the Waiter, and we do not park.
//   4. Unregister everywhere, under each source's lock, one after the other. What a source writes
//      (a node's outcome, the element) it writes under its lock after the claim: having held
//      the lock once, or having been parked at the claim, we see it, and nobody looks at our
//      nodes any more. Then the one node with an outcome tells the case.
//
// Invariants
//  - Between 2's unlock and 4 at most one source changes anything of the select, elements included:
//    the one that won the claim. So a value of on_send() moves only if that case is taken.
//  - No more than one lock is held at a time, but for 2. Lock order: channels by address, before
//    contexts and timer heaps, under which no channel is locked.
//  - The select does not serve itself: it looks at queues only before it stands in any.
//  - Nothing of the user's runs here but the elements' nothrow moves.
//
// Rejected: registering case by case, without all locks at once. A select would have to claim
// itself and its partner together to take what it meets on the way, and the default could be taken
// although something was ready at every moment.
#include <treadle/select.h>

#include <fmt/core.h>

#include <algorithm>
#include <limits>
#include <new>
#include <vector>

#include "runtime/bubble.h"
#include "runtime/chan_state.h"
#include "runtime/context_state.h"
#include "runtime/random.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"

namespace treadle {

namespace rt {

namespace {

using detail::ChanStatus;
using detail::Selected;
using detail::SelectKind;
using detail::SelectOp;

constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

// The node of an on_done case.
struct DoneNode : ContextNode {
  Waiter* waiter = nullptr;
  Fired outcome = Fired::no;  // under the context's lock, by whoever won the claim
};

static_assert(sizeof(Sudog) <= sizeof(SelectOp::room) && alignof(Sudog) <= 8);
static_assert(sizeof(DoneNode) <= sizeof(SelectOp::room) && alignof(DoneNode) <= 8);

Sudog* sudog(SelectOp& op) noexcept { return std::launder(reinterpret_cast<Sudog*>(op.room)); }
DoneNode* done_node(SelectOp& op) noexcept {
  return std::launder(reinterpret_cast<DoneNode*>(op.room));
}

bool is_channel(const SelectOp& op) noexcept {
  return (op.kind == SelectKind::recv || op.kind == SelectKind::send) && op.ch;
}

void context_done(ContextNode* self, ContextEnd&) {
  auto* n = static_cast<DoneNode*>(self);
  G* g = nullptr;
  if (!n->waiter->claim(Fired::context, &g)) return;
  n->outcome = Fired::context;
  if (g) goready(g);
}

std::int64_t time_passed(Timer* t, std::int64_t, TimerWork& work) {
  G* g = nullptr;
  if (static_cast<Waiter*>(t->arg)->claim(Fired::timeout, &g) && g) {
    if (g->foreign)
      goready(g);
    else
      work.ready.push_back(g);
  }
  return kNever;
}

// One of 0..n-1; in the seeded scheduler's mode one that its seed decides.
std::uint32_t draw(std::uint32_t n) noexcept {
  M* m = getm();
  if (sched.random && !m->foreign) return random_below(m->p.load(std::memory_order_relaxed), n);
  return static_cast<std::uint32_t>((fast_random(m) >> 32) * n >> 32);
}

enum class Misuse { none, send_on_closed, nothing_left };

struct Outcome {
  Selected taken{kNone, false};
  Misuse misuse = Misuse::none;
};

class Select {
 public:
  Select(std::span<SelectOp> ops, std::uint32_t* order) noexcept : ops_(ops), order_(order) {}

  void survey() noexcept;
  bool has_default() const noexcept { return default_ != kNone; }
  // Inside the guard; parks only without a default.
  Outcome run() noexcept;

 private:
  bool look() noexcept;
  bool is_ready(const SelectOp& op) noexcept;
  bool choose(bool locked) noexcept;
  bool take(std::size_t i, bool locked) noexcept;
  bool default_for_sure() const noexcept;
  void sort_order() noexcept;
  void lock_all() noexcept;
  void unlock_all() noexcept;
  void shuffle_twins(std::size_t at) noexcept;
  void enqueue_all(Waiter& w) noexcept;
  Fired wait(Waiter& w) noexcept;
  bool leave_all(Waiter& w, Fired fired) noexcept;
  bool nothing_left() const noexcept;

  std::span<SelectOp> ops_;
  std::uint32_t* order_;      // the channel cases, by address once sorted
  std::size_t channels_ = 0;  // how many those are
  std::size_t default_ = kNone;
  std::size_t timed_ = kNone;  // the time case whose deadline is the earliest, while waiting
  std::uint32_t ready_ = 0;    // how many cases are marked ready
  bool others_ = false;        // there are on_done, on_timeout or on_deadline cases
  bool sorted_ = false;
  G* wake_ = nullptr;  // to be made ready once the locks are free
  Outcome out_;
};

void Select::survey() noexcept {
  for (std::size_t i = 0; i < ops_.size(); ++i) {
    const SelectOp& op = ops_[i];
    if (op.kind == SelectKind::otherwise)
      default_ = i;
    else if (is_channel(op))
      order_[channels_++] = static_cast<std::uint32_t>(i);
    else if (op.kind >= SelectKind::done)
      others_ = true;
  }
  // Long lists are sorted here, outside the guard; short ones only when they have to be.
  if (channels_ > 16) sort_order();
}

bool Select::is_ready(const SelectOp& op) noexcept {
  switch (op.kind) {
    case SelectKind::recv:
      if (!op.ch || op.ch->nothing_to_recv()) return false;
      return !op.elements_only || op.ch->count.load(std::memory_order_relaxed) > 0 ||
             !op.ch->senders.empty();
    case SelectKind::send: return op.ch && !op.ch->nothing_to_send();
    case SelectKind::done: return op.context && op.context->done();
    case SelectKind::timeout: return op.when <= 0;
    case SelectKind::deadline: return op.when != kNever && op.when <= clock_nanos();
    default: return false;
  }
}

// Marks the cases that look ready; exact for channels when they are locked, but for waiters in
// their queues that somebody else has claimed already.
bool Select::look() noexcept {
  ready_ = 0;
  for (SelectOp& op : ops_) {
    op.ready = is_ready(op);
    ready_ += op.ready ? 1 : 0;
  }
  return ready_ != 0;
}

// True when case i is the one taken.
bool Select::take(std::size_t i, bool locked) noexcept {
  SelectOp& op = ops_[i];
  if (!is_channel(op)) {
    out_.taken = {i, false};
    return true;
  }
  Hchan* c = op.ch;
  if (!locked) c->lock.lock();
  const ChanStatus status = op.kind == SelectKind::send ? send_locked(c, op.element, &wake_)
                                                        : recv_locked(c, op.element, &wake_);
  if (!locked) c->lock.unlock();
  if (status == ChanStatus::would_block) return false;
  if (status == ChanStatus::closed) {
    if (op.elements_only) return false;
    if (op.kind == SelectKind::send) out_.misuse = Misuse::send_on_closed;
  }
  out_.taken = {i, status == ChanStatus::ok};
  return true;
}

// One of the cases marked ready, each equally likely.
bool Select::choose(bool locked) noexcept {
  while (ready_ > 0) {
    std::uint32_t skip = draw(ready_);
    std::size_t i = 0;
    while (!ops_[i].ready || skip-- > 0) ++i;
    if (take(i, locked)) return true;
    ops_[i].ready = false;
    --ready_;
  }
  return false;
}

// With one channel and nothing else a look without the lock was exact already.
bool Select::default_for_sure() const noexcept {
  return has_default() && !others_ && channels_ <= 1;
}

void Select::sort_order() noexcept {
  sorted_ = true;
  std::uint32_t* const end = order_ + channels_;
  const auto before = [this](std::uint32_t a, std::uint32_t b) {
    return std::less<>()(ops_[a].ch, ops_[b].ch);
  };
  if (channels_ > 16) {
    std::sort(order_, end, before);
    return;
  }
  for (std::uint32_t* at = order_ + (channels_ > 0 ? 1 : 0); at < end; ++at) {
    const std::uint32_t moving = *at;
    std::uint32_t* hole = at;
    for (; hole > order_ && before(moving, hole[-1]); --hole) *hole = hole[-1];
    *hole = moving;
  }
}

void Select::lock_all() noexcept {
  if (!sorted_) sort_order();
  const Hchan* last = nullptr;
  for (std::size_t i = 0; i < channels_; ++i) {
    Hchan* c = ops_[order_[i]].ch;
    if (c != last) c->lock.lock();
    last = c;
  }
}

void Select::unlock_all() noexcept {
  Hchan* last = nullptr;
  for (std::size_t i = channels_; i-- > 0;) {
    Hchan* c = ops_[order_[i]].ch;
    if (c != last) c->lock.unlock();
    last = c;
  }
}

// The first case in a channel's queue is the one its partner takes: those of one channel stand in
// it in random order.
void Select::shuffle_twins(std::size_t at) noexcept {
  const Hchan* c = ops_[order_[at]].ch;
  for (std::size_t end = at + 1; end < channels_ && ops_[order_[end]].ch == c; ++end)
    std::swap(order_[at + draw(static_cast<std::uint32_t>(end - at + 1))], order_[end]);
}

// With all channels locked.
void Select::enqueue_all(Waiter& w) noexcept {
  const Hchan* last = nullptr;
  for (std::size_t i = 0; i < channels_; ++i) {
    if (ops_[order_[i]].ch != last) shuffle_twins(i);
    last = ops_[order_[i]].ch;
    SelectOp& op = ops_[order_[i]];
    op.registered = false;
    // Not ready, so a closed channel here is one that this case is not interested in.
    if (op.ch->closed.load(std::memory_order_relaxed)) continue;
    waits_on(getm()->curg, op.ch->bubble);
    Sudog* s = ::new (op.room) Sudog;
    s->element = op.element;
    s->waiter = &w;
    (op.kind == SelectKind::send ? op.ch->senders : op.ch->receivers).push_back(s);
    op.registered = true;
  }
}

// All that is left are receives from closed channels by cases that want elements only.
bool Select::nothing_left() const noexcept {
  bool closed = false;
  for (const SelectOp& op : ops_) {
    if (is_channel(op)) {
      if (op.registered) return false;
      closed = true;
    } else if (op.kind == SelectKind::done
                   ? op.context && op.context->source
                   : op.kind == SelectKind::timeout ||
                         (op.kind == SelectKind::deadline && op.when != kNever)) {
      return false;
    }
  }
  return closed;
}

// Registers with the other sources and parks.
Fired Select::wait(Waiter& w) noexcept {
  if (!others_) return w.wait(WaitReason::select);
  timed_ = kNone;
  std::int64_t now = 0;
  for (std::size_t i = 0; i < ops_.size(); ++i) {
    SelectOp& op = ops_[i];
    if (op.kind == SelectKind::done && op.context) {
      DoneNode* n = ::new (op.room) DoneNode;
      n->fn = &context_done;
      n->waiter = &w;
      op.registered = op.context->link(*n);
      if (op.context->source) waits_on(getm()->curg, op.context->source->bubble);
      G* none = nullptr;
      if (!op.registered && w.claim(Fired::context, &none)) n->outcome = Fired::context;
    } else if (op.kind == SelectKind::timeout) {
      if (now == 0) now = clock_nanos();
      op.kind = SelectKind::deadline;
      op.when = op.when < kNever - now ? op.when + now : kNever;
    }
    if (op.kind == SelectKind::deadline && op.when != kNever &&
        (timed_ == kNone || op.when < ops_[timed_].when))
      timed_ = i;
  }
  Timer timer;
  if (timed_ != kNone && w.fired() == Fired::no) {
    timer.fn = &time_passed;
    timer.arg = &w;
    timer_arm(timer, ops_[timed_].when);
  }
  const Fired fired = w.wait(WaitReason::select);
  if (fired != Fired::timeout) timer_remove(timer);
  return fired;
}

// Leaves every queue and list; true when out_ says which case was taken, false when a channel was
// closed of which elements only are wanted.
bool Select::leave_all(Waiter& w, Fired fired) noexcept {
  const bool parked = w.claimed_parked();
  if (others_)
    for (SelectOp& op : ops_)
      if (op.kind == SelectKind::done && op.registered) op.context->unlink(*done_node(op));
  for (std::size_t i = 0; i < channels_; ++i) {
    SelectOp& op = ops_[order_[i]];
    if (!op.registered) continue;
    Sudog* s = sudog(op);
    if (parked && s->outcome != Fired::no) continue;  // stored before we were made ready
    SpinGuard hold(op.ch->lock);
    (op.kind == SelectKind::send ? op.ch->senders : op.ch->receivers).remove(s);
  }
  if (fired == Fired::timeout) {
    out_.taken = {timed_, false};
    return true;
  }
  for (std::size_t i = 0; i < ops_.size(); ++i) {
    SelectOp& op = ops_[i];
    if (is_channel(op)
            ? op.registered && sudog(op)->outcome != Fired::no
            : op.kind == SelectKind::done && op.context && done_node(op)->outcome != Fired::no) {
      if (fired == Fired::closed && op.elements_only) return false;
      if (fired == Fired::closed && op.kind == SelectKind::send)
        out_.misuse = Misuse::send_on_closed;
      out_.taken = {i, fired == Fired::granted};
      return true;
    }
  }
  fatal("a select was woken by none of its cases");
}

Outcome Select::run() noexcept {
  for (;;) {
    if (look() && choose(false)) break;
    if (default_for_sure()) {
      out_.taken = {default_, false};
      break;
    }
    lock_all();
    if (look() && choose(true)) {
      unlock_all();
      break;
    }
    if (has_default()) {
      unlock_all();
      out_.taken = {default_, false};
      break;
    }
    Waiter w;
    enqueue_all(w);
    unlock_all();
    if (nothing_left()) {
      out_.misuse = Misuse::nothing_left;
      break;
    }
    const Fired fired = wait(w);
    if (leave_all(w, fired)) break;
  }
  if (wake_) goready(wake_);
  return out_;
}

Outcome run_inside(Select& select) noexcept {
  if (select.has_default()) {
    Entry entry;  // moves nobody to another thread
    return select.run();
  }
  ParkingEntry entry;
  return select.run();
}

}  // namespace

}  // namespace rt

namespace detail {

Selected select_run(std::span<SelectOp> ops, std::uint32_t* order) {
  rt::ensure_started();
  rt::Select select(ops, order);
  select.survey();
  const rt::Outcome out = rt::run_inside(select);
  switch (out.misuse) {
    case rt::Misuse::none: break;
    case rt::Misuse::send_on_closed:
      throw Panic(
          fmt::format("treadle::select: case {} sends on a closed channel", out.taken.index));
    case rt::Misuse::nothing_left:
      throw Panic(
          "treadle::select: every channel is closed, and the handlers take elements only; one that "
          "takes std::optional sees the end");
  }
  return out.taken;
}

}  // namespace detail

std::size_t select_any(std::span<SelectCase> cases) {
  constexpr std::size_t kMost = 65'536;
  constexpr std::size_t kInline = 16;
  if (cases.size() > kMost)
    throw Panic(fmt::format("treadle::select_any: {} cases, more than {}", cases.size(), kMost));
  detail::SelectOp few[kInline];
  std::uint32_t few_order[kInline];
  std::vector<detail::SelectOp> many;
  std::vector<std::uint32_t> many_order;
  if (cases.size() > kInline) {
    many.resize(cases.size());
    many_order.resize(cases.size());
  }
  const bool small = cases.size() <= kInline;
  const std::span<detail::SelectOp> ops(small ? few : many.data(), cases.size());
  std::size_t defaults = 0;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    if (!cases[i].case_) continue;
    ops[i] = cases[i].case_->op();
    if (ops[i].kind == detail::SelectKind::otherwise) ++defaults;
  }
  if (defaults > 1)
    throw Panic(fmt::format("treadle::select_any: {} cases are on_default()", defaults));
  const detail::Selected taken = detail::select_run(ops, small ? few_order : many_order.data());
  cases[taken.index].case_->finish(taken.ok);
  return taken.index;
}

}  // namespace treadle
