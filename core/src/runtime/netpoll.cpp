#include "runtime/netpoll.h"
#include "runtime/bubble.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <new>

#include "runtime/coarse_clock.h"
#include "runtime/context_state.h"
#include "runtime/extra.h"
#include "runtime/netpoll_epoll.h"
#include "runtime/note.h"
#include "runtime/sanitizer.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"

namespace treadle::rt {

namespace {

struct PollDescBlock {
  static constexpr int kSize = 64;
  PollDesc pd[kSize];
  PollDescBlock* next = nullptr;
};

struct Poller {
  int epfd = -1;
  int breakfd = -1;
  std::atomic<bool> breaking{false};  // a break is under way; one write is enough
  std::atomic<std::int32_t> registered{0};
  // netpoll() calls whose Gs may be on no queue yet. Raised before a side is unblocked, lowered
  // once its G is queued: who finds no G on a side and zero here knows that none is in between.
  std::atomic<std::int32_t> harvests{0};
  std::atomic<PeerWatch*> gone{nullptr};  // left by those without a P; release to acquire
  Lock lock;
  PollDesc* free = nullptr;                     // under lock
  std::atomic<PollDescBlock*> blocks{nullptr};  // all; release on push, acquire by walkers
} poller;

// Pointer and generation in epoll's 64 bits: user addresses have 48 at most.
constexpr int kTagShift = 48;
constexpr std::uint64_t kPointer = (std::uint64_t{1} << kTagShift) - 1;
std::uint64_t tagged(PollDesc* pd) noexcept {
  return reinterpret_cast<std::uintptr_t>(pd) |
         static_cast<std::uint64_t>(pd->generation() & 0xffff) << kTagShift;
}

// Moves a side to `to` (ready or nil); the G that was parked there is now the caller's to ready.
G* unblock(PollSide& s, std::uintptr_t to) noexcept {
  std::uintptr_t old = s.state.load(std::memory_order_seq_cst);
  for (;;) {
    if (old == kPollReady) return nullptr;
    if (old == kPollNil && to == kPollNil) return nullptr;
    if (s.state.compare_exchange_weak(old, to, std::memory_order_seq_cst)) break;
  }
  return old > kPollWaiting ? reinterpret_cast<G*>(old) : nullptr;
}

void unblock_and_ready(PollSide& s) noexcept {
  if (G* g = unblock(s, kPollNil)) goready(g);
}

void mark_seen(PollDesc* pd, std::uint16_t tag, std::uint64_t marks) noexcept {
  std::uint64_t seen = pd->seen.load(std::memory_order_seq_cst);
  while ((seen >> 32 & 0xffff) == tag && (seen & marks) != marks)
    if (pd->seen.compare_exchange_weak(seen, seen | marks, std::memory_order_seq_cst)) return;
}

// What was to be done when the peer goes; null: nothing, or it belongs to another generation.
PeerWatch* take_watch(PollDesc* pd, std::uint16_t tag) noexcept {
  std::uint64_t watch = pd->peer_watch.load(std::memory_order_seq_cst);
  if (watch == 0 || watch >> kTagShift != tag) return nullptr;
  if (!pd->peer_watch.compare_exchange_strong(watch, 0, std::memory_order_seq_cst)) return nullptr;
  return reinterpret_cast<PeerWatch*>(watch & kPointer);
}

void collect(const epoll_event& e, PollWork& work) noexcept {
  auto* pd = reinterpret_cast<PollDesc*>(e.data.u64 & kPointer);
  const auto tag = static_cast<std::uint16_t>(e.data.u64 >> kTagShift);
  if ((pd->generation() & 0xffff) != tag) return;  // its descriptor is gone
  const std::uint64_t marks =
      (e.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) ? PollDesc::kPeerClosed : 0) |
      (e.events & EPOLLPRI ? PollDesc::kUrgent : 0);
  if (marks) {
    mark_seen(pd, tag, marks);
    if (marks & PollDesc::kPeerClosed)
      if (PeerWatch* w = take_watch(pd, tag)) w->next = std::exchange(work.gone, w);
  }
  const auto wake = [&](detail::PollMode mode) {
    if (G* g = unblock(pd->side[static_cast<int>(mode)], kPollReady)) {
      g->status.store(GStatus::runnable, std::memory_order_release);
      if (g->foreign)
        goready(g);  // a plain thread waits there
      else
        work.ready.push_back(g);
    }
  };
  if (e.events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
    wake(detail::PollMode::read);
  if (e.events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) wake(detail::PollMode::write);
}

// A deadline's timer. It stays where it was armed while the deadline moves later, and looks again
// then. Under the heap's lock.
std::int64_t on_poll_deadline(Timer* t, std::int64_t now, TimerWork& work) {
  auto& s = *static_cast<PollSide*>(t->arg);
  for (;;) {
    std::int64_t d = s.deadline.load(std::memory_order_seq_cst);
    if (d == kNever || d == kExpired) {
      s.armed.store(kNever, std::memory_order_seq_cst);
      // Pairs with set_deadline(), which stores the deadline, then looks at `armed`: one of us sees
      // the other.
      d = s.deadline.load(std::memory_order_seq_cst);
      if (d == kNever || d == kExpired) return kNever;
    }
    if (d > now) {
      s.armed.store(d, std::memory_order_seq_cst);
      // The same pair: a deadline moved earlier meanwhile may have relied on what `armed` was.
      if (s.deadline.load(std::memory_order_seq_cst) == d) return d;
      continue;
    }
    if (!s.deadline.compare_exchange_strong(d, kExpired, std::memory_order_seq_cst)) continue;
    if (G* g = unblock(s, kPollNil)) {
      if (g->foreign)
        goready(g);
      else
        work.ready.push_back(g);
    }
  }
}

void drop_watch(PeerWatch* w) noexcept {
  context_release(w->context);
  delete w;
}

void cancel_gone(PeerWatch* list) noexcept {
  while (list) {
    PeerWatch* w = std::exchange(list, list->next);
    context_cancel(w->context, Errc::canceled, std::make_error_code(std::errc::connection_aborted));
    drop_watch(w);
  }
}

void cancel_gone_here(M* m, PeerWatch* list) noexcept {
  const HiddenLabels hidden(m);
  cancel_gone(list);
}

void leave_gone(PeerWatch* list) noexcept {
  PeerWatch* last = list;
  while (last->next) last = last->next;
  last->next = poller.gone.load(std::memory_order_relaxed);
  while (!poller.gone.compare_exchange_weak(last->next, list, std::memory_order_release,
                                            std::memory_order_relaxed)) {
  }
  wakep();  // its fence pairs with that of an M which is about to park
}

PollDesc* pd_alloc() noexcept {
  LockGuard hold(poller.lock);
  if (!poller.free) {
    auto* block = new (std::nothrow) PollDescBlock;
    if (!block) return nullptr;
    for (PollDesc& pd : block->pd) {
      for (PollSide& s : pd.side) {
        s.timer.fn = &on_poll_deadline;
        s.timer.real = true;
        s.timer.arg = &s;
      }
      pd.link = poller.free;
      poller.free = &pd;
    }
    block->next = poller.blocks.load(std::memory_order_relaxed);
    poller.blocks.store(block, std::memory_order_release);
  }
  PollDesc* pd = poller.free;
  poller.free = pd->link;
  return pd;
}

// The last user of the descriptor number is gone. close() would drop the registration, too, but
// takes longer for it than the call it saves (0.6 us against 0.8 to 1.0), and only where no child
// and no duplicate keeps the socket open.
void pd_close(PollDesc* pd) noexcept {
  ::epoll_ctl(poller.epfd, EPOLL_CTL_DEL, pd->fd, nullptr);
  close_now(pd->fd);
  poller.registered.fetch_sub(1, std::memory_order_relaxed);
}

// The owner is gone: nothing but late events can name it any more.
void pd_free(PollDesc* pd) noexcept {
  Entry entry;
  for (PollSide& s : pd->side) {
    timer_remove(s.timer);
    s.timer.heap.store(nullptr, std::memory_order_relaxed);  // the next owner's P may be another
  }
  if (const std::uint64_t watch = pd->peer_watch.exchange(0, std::memory_order_seq_cst)) {
    auto* w = reinterpret_cast<PeerWatch*>(watch & kPointer);
    context_release(w->context);
    if (pd->spare_watch)
      delete w;
    else
      pd->spare_watch = w;
  }
  // A new generation: events of the old one no longer match.
  const std::uint64_t next = (pd->seen.load(std::memory_order_relaxed) >> 32) + 1;
  pd->seen.store(next << 32, std::memory_order_relaxed);
  pd->fd = -1;
  LockGuard hold(poller.lock);
  pd->link = poller.free;
  poller.free = pd;
}

void pd_release(PollDesc* pd) noexcept {
  if (pd->users.fetch_sub(1, std::memory_order_acq_rel) == (PollDesc::kClosing | 1)) pd_close(pd);
}

// Runs once the G's registers are saved: waiting -> G, unless something came in between.
void hook_commit_poll(M* m, G* g, void* arg) {
  auto* s = static_cast<PollSide*>(arg);
  std::uintptr_t waiting = kPollWaiting;
  if (!s->state.compare_exchange_strong(waiting, reinterpret_cast<std::uintptr_t>(g),
                                        std::memory_order_seq_cst))
    ready_in_hook(m, g);
}

// A wait's place in its Context.
struct PollContextNode : ContextNode {
  PollSide* side = nullptr;
  std::atomic<bool> done{false};
};

void on_context_done(ContextNode* n, ContextEnd&) {
  auto* self = static_cast<PollContextNode*>(n);
  self->done.store(true, std::memory_order_seq_cst);  // before the look at the side
  unblock_and_ready(*self->side);
}

std::error_code context_error(ContextState* c) noexcept {
  return c ? c->error_code() : std::error_code();
}

// Whether a wait on that side would end at once, with standing_error().
bool stands(const PollDesc* pd, const PollSide& s) noexcept {
  return pd->closing() || s.deadline.load(std::memory_order_seq_cst) == kExpired;
}

Result<void> standing_error(const PollDesc* pd, const PollSide& s) noexcept {
  if (pd->closing()) return fail(Errc::closed);
  if (s.deadline.load(std::memory_order_seq_cst) == kExpired) return fail(Errc::timed_out);
  return {};
}

// nil -> waiting. What it returns is the state that it found: nil where that went well.
std::uintptr_t begin_waiting(PollSide& s) noexcept {
  std::uintptr_t old = s.state.load(std::memory_order_relaxed);
  while (old == kPollNil &&
         !s.state.compare_exchange_weak(old, kPollWaiting, std::memory_order_seq_cst)) {
  }
  return old;
}

// Back from waiting, unless an edge came: that one stays.
void stop_waiting(PollSide& s) noexcept {
  std::uintptr_t waiting = kPollWaiting;
  s.state.compare_exchange_strong(waiting, kPollNil, std::memory_order_seq_cst);
}

Result<void> park_on(PollDesc* pd, PollSide& s, ContextState* context, WaitReason why) {
  const std::uintptr_t old = begin_waiting(s);
  if (old == kPollReady) return {};                 // stays ready until prepare()
  if (old != kPollNil) return fail(Errc::invalid);  // somebody waits there already
  PollContextNode node;
  node.fn = &on_context_done;
  node.side = &s;
  const bool linked = context && context->link(node);
  auto error = standing_error(pd, s);
  if (error && context && (!linked || node.done.load(std::memory_order_seq_cst)))
    error = fail(context_error(context));
  if (error) {
    gopark(&hook_commit_poll, &s, why);
  } else {
    stop_waiting(s);
  }
  if (linked) context->unlink(node);
  if (!error) return error;
  error = standing_error(pd, s);
  if (error && node.done.load(std::memory_order_relaxed)) return fail(context_error(context));
  return error;
}

}  // namespace

bool netpoll_dormant_begin(PollDesc* pd) noexcept {
  PollSide& s = pd->side[static_cast<int>(detail::PollMode::read)];
  M* m = enter_as(true);
  G* g = m->curg;
  if (g->in_bubble || m->locked_g) [[unlikely]] {
    // Counted by its bubble, or known to its thread, as one that is parked.
    (void)park_on(pd, s, nullptr, WaitReason::io_read);
  } else if (begin_waiting(s) == kPollNil) {
    if (!stands(pd, s)) {
      g->reason.store(WaitReason::io_read, std::memory_order_relaxed);
      g->waiting_since.store(coarse_now(), std::memory_order_relaxed);
      m->p.load(std::memory_order_relaxed)->counters.parks.add(1);
      return true;
    }
    stop_waiting(s);
  }
  leave();
  return false;
}

void netpoll_dormant_hook(M* m, G* g, void* pd) noexcept {
  stack_put(m->p.load(std::memory_order_relaxed)->stacks, std::exchange(g->stack, nullptr));
  g->was_dormant.store(true, std::memory_order_relaxed);
  g->depth = 1;
  hook_commit_poll(m, g,
                   &static_cast<PollDesc*>(pd)->side[static_cast<int>(detail::PollMode::read)]);
}

void netpoll_init() {
  poller.epfd = ::epoll_create1(EPOLL_CLOEXEC);
  poller.breakfd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (poller.epfd < 0 || poller.breakfd < 0) fatal("cannot make the poller's descriptors");
  epoll_event e{};
  e.events = EPOLLIN;
  e.data.u64 = 0;
  if (::epoll_ctl(poller.epfd, EPOLL_CTL_ADD, poller.breakfd, &e) != 0)
    fatal("cannot register the poller's own descriptor");
}

void netpoll(std::int64_t timeout_ns, PollWork& work) noexcept {
  epoll_event events[128];
  const int n = wait_events(poller.epfd, events, timeout_ns);
  poller.harvests.fetch_add(1, std::memory_order_seq_cst);
  for (int i = 0; i < n; ++i) {
    if (events[i].data.u64 == 0) {
      if (timeout_ns == 0) continue;  // not for us: somebody waits to be broken off
      std::uint64_t drain;
      if (::read(poller.breakfd, &drain, sizeof drain) > 0)
        poller.breaking.store(false, std::memory_order_seq_cst);
      continue;
    }
    collect(events[i], work);
  }
}

void netpoll_finish(M* m, PollWork& work) noexcept {
  inject(m, work.ready);
  if (work.gone) [[unlikely]] {
    if (m && m->p.load(std::memory_order_relaxed)) {
      cancel_gone_here(m, std::exchange(work.gone, nullptr));
    } else {
      leave_gone(std::exchange(work.gone, nullptr));
    }
  }
  poller.harvests.fetch_sub(1, std::memory_order_seq_cst);
}

bool netpoll_left() noexcept { return poller.gone.load(std::memory_order_relaxed) != nullptr; }

void netpoll_take_left(M* m) noexcept {
  cancel_gone_here(m, poller.gone.exchange(nullptr, std::memory_order_acquire));
}

bool netpoll_waited_for() noexcept {
  if (netpoll_waiters() != 0)
    for (PollDescBlock* b = poller.blocks.load(std::memory_order_acquire); b; b = b->next)
      for (const PollDesc& pd : b->pd)
        for (const PollSide& s : pd.side)
          if (s.state.load(std::memory_order_seq_cst) >= kPollWaiting) return true;
  return poller.harvests.load(std::memory_order_seq_cst) != 0;
}

void netpoll_break() noexcept {
  const KeepErrno keep;
  if (poller.breaking.exchange(true, std::memory_order_seq_cst)) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = ::write(poller.breakfd, &one, sizeof one);
}

std::int32_t netpoll_waiters() noexcept {
  return poller.registered.load(std::memory_order_relaxed);
}

}  // namespace treadle::rt

namespace treadle::detail {

using namespace rt;

Result<Pollable> Pollable::open(int fd) {
  ensure_started();
  PollDesc* pd;
  {
    Entry entry;
    pd = pd_alloc();
  }
  if (!pd) {
    ::close(fd);
    return fail_errno(ENOMEM);
  }
  for (PollSide& s : pd->side) {
    s.state.store(kPollNil, std::memory_order_relaxed);
    s.deadline.store(kNever, std::memory_order_relaxed);
    s.armed.store(kNever, std::memory_order_relaxed);
  }
  pd->fd = fd;
  pd->ignore_context = false;
  pd->users.store(1, std::memory_order_release);
  poller.registered.fetch_add(1, std::memory_order_relaxed);
  epoll_event e{};
  e.events = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  e.data.u64 = tagged(pd);
  if (::epoll_ctl(poller.epfd, EPOLL_CTL_ADD, fd, &e) != 0) {
    const int error = errno;
    Pollable(pd).close();  // and frees it
    return fail_errno(error);
  }
  return Pollable(pd);
}

Pollable::~Pollable() {
  if (!pd_) return;
  close();
  pd_free(pd_);
}

int Pollable::fd() const noexcept { return pd_->fd; }

Result<void> Pollable::prepare(PollMode mode) const noexcept {
  PollSide& s = pd_->side[static_cast<int>(mode)];
  // Only this side's one user is here: it is nil, or ready.
  if (s.state.load(std::memory_order_relaxed) == kPollReady)
    s.state.exchange(kPollNil, std::memory_order_seq_cst);
  return check(mode);
}

Result<void> Pollable::check(PollMode mode) const noexcept {
  const PollSide& s = pd_->side[static_cast<int>(mode)];
  if (stands(pd_, s)) [[unlikely]]
    return standing_error(pd_, s);
  if (!pd_->ignore_context)
    if (auto e = context_error(current_context_state())) return fail(e);
  return {};
}

namespace {
Result<void> wait_inside(PollDesc* pd, PollMode mode) {
  ParkingEntry entry;
  return park_on(pd, pd->side[static_cast<int>(mode)],
                 pd->ignore_context ? nullptr : current_context_state(),
                 mode == PollMode::read ? WaitReason::io_read : WaitReason::io_write);
}
}  // namespace

Result<void> Pollable::wait(PollMode mode) const {
  auto r = wait_inside(pd_, mode);
  if (!r && r.error() == Errc::invalid)
    throw Panic("treadle: two goroutines wait for one side of a descriptor");
  return r;
}

PollHints Pollable::hints() const noexcept {
  const std::uint64_t seen = pd_->seen.load(std::memory_order_seq_cst);
  return {.peer_closed = (seen & PollDesc::kPeerClosed) != 0,
          .urgent = (seen & PollDesc::kUrgent) != 0};
}

// The timer is left where it is when the deadline moves later: it will look again then. Storing the
// deadline before looking at `armed` pairs with on_poll_deadline().
void Pollable::set_deadline(PollMode mode, Deadline d) const {
  PollSide& s = pd_->side[static_cast<int>(mode)];
  if (d.is_never()) {
    s.deadline.store(kNever, std::memory_order_seq_cst);
    return;
  }
  std::int64_t at = d.at().time_since_epoch().count();
  const Bubble* b = current_bubble();
  // The timer will look no later than that, whether it has passed or not: no need to know now.
  if (!b && s.armed.load(std::memory_order_relaxed) <= at) {
    s.deadline.store(at, std::memory_order_seq_cst);
    if (s.armed.load(std::memory_order_seq_cst) <= at) return;
  }
  // Descriptors are waited for in real time, also by goroutines whose clock is virtual.
  const std::int64_t now = nanotime();
  if (b) [[unlikely]]
    at += now - b->now.load(std::memory_order_relaxed);
  if (at <= now) {
    s.deadline.store(kExpired, std::memory_order_seq_cst);
    Entry entry;
    unblock_and_ready(s);
    return;
  }
  s.deadline.store(at, std::memory_order_seq_cst);
  if (s.armed.load(std::memory_order_seq_cst) <= at) return;
  Entry entry;
  // Before arming: the timer's own stores to `armed`, under its heap's lock, come after this one.
  s.armed.store(at, std::memory_order_seq_cst);
  timer_arm(s.timer, at, true);
}

Deadline Pollable::deadline(PollMode mode) const noexcept {
  const std::int64_t d = pd_->side[static_cast<int>(mode)].deadline.load(std::memory_order_relaxed);
  if (d == kNever) return Deadline::never();
  if (const Bubble* b = current_bubble(); b && d != kExpired) [[unlikely]]
    return Deadline(TimePoint(Duration(d - nanotime() + b->now.load(std::memory_order_relaxed))));
  return Deadline(TimePoint(Duration(d == kExpired ? 0 : d)));
}

void Pollable::watch_peer(const Context& ctx) const {
  ContextState* state = ctx.state();
  std::uint64_t watch = 0;
  if (state && state->kind == ContextState::Kind::cancel) {
    PeerWatch* w = std::exchange(pd_->spare_watch, nullptr);
    if (!w) w = new PeerWatch;
    *w = {static_cast<CancelState*>(state)};
    context_retain(state);
    watch = reinterpret_cast<std::uintptr_t>(w) |
            static_cast<std::uint64_t>(pd_->generation() & 0xffff) << kTagShift;
  }
  const std::uint64_t before = pd_->peer_watch.exchange(watch, std::memory_order_seq_cst);
  if (before) drop_watch(reinterpret_cast<PeerWatch*>(before & kPointer));
  if (!hints().peer_closed) return;
  if (PeerWatch* gone = take_watch(pd_, static_cast<std::uint16_t>(pd_->generation())))
    cancel_gone(gone);
}

void Pollable::ignore_context() noexcept { pd_->ignore_context = true; }

void Pollable::close() noexcept {
  // The mark first, then the sides: pairs with park_on().
  if (!pd_ ||
      pd_->users.fetch_or(PollDesc::kClosing, std::memory_order_seq_cst) & PollDesc::kClosing)
    return;
  {
    Entry entry;
    for (PollSide& s : pd_->side) unblock_and_ready(s);
  }
  pd_release(pd_);  // the owner's
}

Pollable::Use::Use(const Pollable& p) noexcept : pd_(p.pd_) {
  std::uint32_t users = pd_->users.load(std::memory_order_relaxed);
  do {
    if (users & PollDesc::kClosing) {
      pd_ = nullptr;
      return;
    }
  } while (!pd_->users.compare_exchange_weak(users, users + 1, std::memory_order_acquire,
                                             std::memory_order_relaxed));
}

Pollable::Use::~Use() {
  if (pd_) pd_release(pd_);
}

}  // namespace treadle::detail
