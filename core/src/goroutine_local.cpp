#include <treadle/goroutine_local.h>

#include <mutex>
#include <new>
#include <vector>

#include "runtime/extra.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"

namespace treadle::detail {

namespace {

// Indexes of variables that are gone, for reuse: tables stay as short as there are variables. Never
// destroyed, since variables at namespace scope may be later.
struct Slots {
  std::mutex mutex;  // held for a few instructions, never over an entry
  std::vector<std::uint32_t> free;
  std::uint32_t next_index = 0;
  std::uint64_t next_key = 1;
};
Slots& slots() {
  static Slots& instance = *new Slots;
  return instance;
}

rt::GExtra* current_extra() noexcept {
  rt::G* g = rt::getm()->curg;
  return g ? g->extra.load(std::memory_order_relaxed) : nullptr;
}

void unlink(rt::GExtra* x, LocalNode* node) noexcept {
  for (LocalNode** at = &x->newest_local; *at; at = &(*at)->older) {
    if (*at != node) continue;
    *at = node->older;
    return;
  }
}

}  // namespace

LocalSlot local_slot_new() {
  Slots& s = slots();
  std::lock_guard hold(s.mutex);
  if (s.free.empty()) return {s.next_key++, s.next_index++};
  const std::uint32_t index = s.free.back();
  s.free.pop_back();
  return {s.next_key++, index};
}

void local_slot_free(LocalSlot slot) noexcept {
  Slots& s = slots();
  std::lock_guard hold(s.mutex);
  try {
    s.free.push_back(slot.index);
  } catch (const std::bad_alloc&) {
    // The index is not used again: no more than that.
  }
}

LocalNode* local_find(LocalSlot slot) noexcept {
  const rt::GExtra* x = current_extra();
  if (!x || slot.index >= x->locals.size()) return nullptr;
  LocalNode* node = x->locals[slot.index];
  return node && node->key == slot.key ? node : nullptr;
}

void local_insert(LocalSlot slot, LocalNode* node) {
  rt::G* g;
  {
    rt::Entry entry;
    g = entry.m()->curg;
  }
  rt::GExtra* x = rt::make_extra(g);
  if (!x) throw std::bad_alloc();
  if (slot.index >= x->locals.size()) x->locals.resize(slot.index + 1);
  node->key = slot.key;
  node->index = slot.index;
  node->older = x->newest_local;
  x->newest_local = node;
  // Another node here is that of a variable which is gone; it stays on the list until the end.
  x->locals[slot.index] = node;
}

LocalNode* local_remove(LocalSlot slot) noexcept {
  LocalNode* node = local_find(slot);
  if (!node) return nullptr;
  rt::GExtra* x = current_extra();
  x->locals[slot.index] = nullptr;
  unlink(x, node);
  return node;
}

}  // namespace treadle::detail
