// GoroutineLocal: a variable of which every goroutine has its own.
//
//   treadle::GoroutineLocal<Parser> parser;        // at namespace scope
//   parser->feed(bytes);                           // this goroutine's own Parser
#pragma once

#include <concepts>
#include <cstdint>
#include <utility>

namespace treadle {

namespace detail {

// One goroutine's value of one variable, on the list of all its values.
struct LocalNode {
  std::uint64_t key = 0;       // the variable's, never reused
  std::uint32_t index = 0;     // its place in the goroutine's table
  LocalNode* older = nullptr;  // made before it by the same goroutine
  void (*destroy)(LocalNode*) noexcept = nullptr;
};
struct LocalSlot {
  std::uint64_t key = 0;
  std::uint32_t index = 0;  // reused once the variable is gone
};

LocalSlot local_slot_new();
void local_slot_free(LocalSlot slot) noexcept;
// The calling goroutine's; null when it has none.
LocalNode* local_find(LocalSlot slot) noexcept;
void local_insert(LocalSlot slot, LocalNode* node);
// Takes the node off the goroutine's list; null when it has none.
LocalNode* local_remove(LocalSlot slot) noexcept;

template <class T>
struct LocalValue : LocalNode {
  explicit LocalValue(T (*make)()) : value(make()) {}
  T value;
};

}  // namespace detail

// What thread_local is to threads: a thread_local is shared by all goroutines that its thread runs,
// and left behind when a goroutine moves. The value is made on a goroutine's first use, and
// destroyed when the goroutine ends, newest first; its destructor may use treadle, park included.
// A goroutine that uses none pays nothing. A plain thread has its own values, destroyed with it.
// Goroutines that are stopped when run() returns destroy nothing.
//
// The variable may be made and destroyed at any time by any thread; values that goroutines still
// have then live on until these end. Its functions never park; each acts on the caller's own value.
template <class T>
class GoroutineLocal {
 public:
  GoroutineLocal()
    requires std::default_initializable<T>
      : GoroutineLocal([] { return T(); }) {}
  // `make` gives each goroutine its first value.
  explicit GoroutineLocal(T (*make)()) : make_(make), slot_(detail::local_slot_new()) {}
  ~GoroutineLocal() { detail::local_slot_free(slot_); }
  GoroutineLocal(const GoroutineLocal&) = delete;
  GoroutineLocal& operator=(const GoroutineLocal&) = delete;

  // The calling goroutine's value, made if need be. The reference stays good until the goroutine
  // ends or calls reset(), across parks and moves to other threads.
  T& get() {
    if (detail::LocalNode* node = detail::local_find(slot_))
      return static_cast<Value*>(node)->value;
    auto* made = new Value(make_);
    made->destroy = [](detail::LocalNode* n) noexcept { delete static_cast<Value*>(n); };
    try {
      detail::local_insert(slot_, made);
    } catch (...) {
      delete made;
      throw;
    }
    return made->value;
  }
  T& operator*() { return get(); }
  T* operator->() { return &get(); }

  bool has_value() const noexcept { return detail::local_find(slot_) != nullptr; }
  // Destroys the calling goroutine's value; the next use makes a new one.
  void reset() noexcept {
    if (detail::LocalNode* node = detail::local_remove(slot_)) node->destroy(node);
  }

 private:
  using Value = detail::LocalValue<T>;
  T (*make_)();
  detail::LocalSlot slot_;
};

}  // namespace treadle
