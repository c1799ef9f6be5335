#include "runtime/timers.h"

#include "runtime/bubble.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"

namespace treadle::rt {

void TimerHeap::place(std::uint32_t i, Entry e) noexcept {
  heap_[i] = e;
  e.timer->index = i;
}

void TimerHeap::sift_up(std::uint32_t i) noexcept {
  const Entry e = heap_[i];
  while (i > 0) {
    const std::uint32_t parent = (i - 1) / 4;
    if (heap_[parent].when <= e.when) break;
    place(i, heap_[parent]);
    i = parent;
  }
  place(i, e);
}

void TimerHeap::sift_down(std::uint32_t i) noexcept {
  const auto n = static_cast<std::uint32_t>(heap_.size());
  const Entry e = heap_[i];
  for (;;) {
    const std::uint32_t first = 4 * i + 1;
    if (first >= n) break;
    std::uint32_t least = first;
    for (std::uint32_t c = first + 1; c < n && c < first + 4; ++c)
      if (heap_[c].when < heap_[least].when) least = c;
    if (heap_[least].when >= e.when) break;
    place(i, heap_[least]);
    i = least;
  }
  place(i, e);
}

void TimerHeap::update(Timer& t, std::int64_t when) {
  t.when = when;
  if (t.index == Timer::kNotQueued) {
    heap_.push_back({when, &t});
    t.index = static_cast<std::uint32_t>(heap_.size() - 1);
    sift_up(t.index);
    return;
  }
  const std::int64_t before = heap_[t.index].when;
  heap_[t.index].when = when;
  if (when < before)
    sift_up(t.index);
  else
    sift_down(t.index);
}

void TimerHeap::erase(Timer& t) noexcept {
  const std::uint32_t i = t.index;
  t.index = Timer::kNotQueued;
  const Entry last = heap_.back();
  heap_.pop_back();
  if (i == heap_.size()) return;
  place(i, last);
  sift_up(i);
  sift_down(last.timer->index);
}

void TimerHeap::publish() noexcept {
  next_when_.store(heap_.empty() ? kNever : heap_.front().when, std::memory_order_release);
}

void TimerHeap::run_due(std::int64_t now, TimerWork& work) {
  LockGuard hold(lock_);
  while (!heap_.empty() && heap_.front().when <= now) {
    Timer& t = *heap_.front().timer;
    // Off the heap first: with kNever returned, the timer's memory may go once we unlock.
    erase(t);
    const std::int64_t again = t.fn(&t, now, work);
    if (again != kNever) update(t, again);
  }
  publish();
}

void TimerHeap::retire_into(TimerHeap& to) {
  LockGuard hold(lock_);
  LockGuard hold_to(to.lock_);
  retired_ = true;
  for (const Entry& e : heap_) {
    e.timer->heap.store(&to, std::memory_order_release);  // pairs with lock_home()
    e.timer->index = Timer::kNotQueued;
    to.update(*e.timer, e.when);
  }
  heap_.clear();
  publish();
  to.publish();
}

void TimerHeap::clear() noexcept {
  LockGuard hold(lock_);
  for (const Entry& e : heap_) e.timer->index = Timer::kNotQueued;
  heap_.clear();
  publish();
}

void TimerHeap::revive() noexcept {
  LockGuard hold(lock_);
  retired_ = false;
}

namespace {
TimerHeap& home_of(Timer& t) noexcept {
  if (TimerHeap* heap = t.heap.load(std::memory_order_acquire)) return *heap;
  M* m = getm();
  P* p = m->foreign ? nullptr : m->p.load(std::memory_order_relaxed);
  TimerHeap* mine = p ? &p->timers : &sched.ps[0]->timers;
  if (Bubble* b = t.real ? nullptr : current_bubble()) [[unlikely]]
    mine = &b->timers;
  TimerHeap* none = nullptr;  // two threads may arm it at once
  return t.heap.compare_exchange_strong(none, mine, std::memory_order_acq_rel) ? *mine : *none;
}
}  // namespace

struct Arming {
  bool was_armed;
  bool first;  // of its heap

  // `refs`, when there is one, is counted up if `t` was not armed.
  Arming(Timer& t, std::int64_t when, bool only_earlier, std::atomic<std::uint32_t>* refs);
  static TimerHeap& lock_home(Timer& t);
};

// The heap `t` is to be armed on, locked.
TimerHeap& Arming::lock_home(Timer& t) {
  for (;;) {
    TimerHeap& heap = home_of(t);
    heap.lock_.lock();
    if (t.heap.load(std::memory_order_relaxed) == &heap) {
      if (!heap.retired_) return heap;
      t.heap.store(nullptr, std::memory_order_relaxed);
    }
    heap.lock_.unlock();
  }
}

Arming::Arming(Timer& t, std::int64_t when, bool only_earlier, std::atomic<std::uint32_t>* refs) {
  TimerHeap& heap = lock_home(t);
  was_armed = t.index != Timer::kNotQueued;
  const bool put_off = only_earlier && was_armed && t.when <= when;
  if (!put_off) {
    if (refs && !was_armed) refs->fetch_add(1, std::memory_order_relaxed);
    heap.update(t, when);
    heap.publish();
  }
  first = !put_off && t.index == 0;
  heap.lock_.unlock();
  if (heap.bubble) return;  // its root looks
  // Our own P looks at its timers before it goes idle, and sysmon looks when it does not get there;
  // another one's may be idle already.
  M* m = getm();
  P* p = m->foreign ? nullptr : m->p.load(std::memory_order_relaxed);
  if (first && (!p || &p->timers != &heap)) wake_poller(when);
}

bool timer_arm(Timer& t, std::int64_t when, bool only_earlier) {
  return Arming(t, when, only_earlier, nullptr).first;
}

bool timer_rearm(Timer& t, std::int64_t when, std::atomic<std::uint32_t>& refs) {
  return Arming(t, when, false, &refs).was_armed;
}

bool timer_remove(Timer& t) noexcept {
  for (;;) {
    TimerHeap* heap = t.heap.load(std::memory_order_acquire);
    if (!heap) return false;
    LockGuard hold(heap->lock_);
    if (t.heap.load(std::memory_order_relaxed) != heap) continue;  // it moved
    if (t.index == Timer::kNotQueued) return false;
    heap->erase(t);
    heap->publish();
    return true;
  }
}

bool run_timers(TimerHeap& heap, std::int64_t now) {
  if (heap.next_when() > now) return false;
  TimerWork work;
  heap.run_due(now, work);
  if (work.empty()) return false;
  // What is started now belongs to the heap's bubble, not to that of whoever looks.
  M* m = getm();
  Bubble* own = current_bubble();
  if (own != heap.bubble) m->curg->bubble.store(heap.bubble, std::memory_order_relaxed);
  finish_timer_work(m, work);
  if (own != heap.bubble) m->curg->bubble.store(own, std::memory_order_relaxed);
  return true;
}

}  // namespace treadle::rt
