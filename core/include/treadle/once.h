// Once: runs something the first time it is asked for; Lazy: a value made that way.
#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace treadle {

namespace rt {
struct G;
struct Waiter;
}  // namespace rt

// Calls a function once, however many goroutines or plain threads ask at the same time.
//
//   treadle::Once once;
//   once.call([&] { table = load(); });
//
// When the function throws, it does not count as called: the exception goes to its caller, and the
// next one, which may be waiting, tries again, as with std::call_once. (In Go a panic counts as
// done; but there it ends the program as a rule, and here callers would go on without what they
// need.) It must not be moved; it may be destroyed as soon as no call is in progress.
class Once {
 public:
  constexpr Once() noexcept = default;
  Once(const Once&) = delete;
  Once& operator=(const Once&) = delete;

  // Calls `f` unless that was done; otherwise returns at once, or as soon as the call in progress
  // has ended. What `f` did is then visible. A call that was done costs one load.
  // Parks the calling G while another one's `f` runs; on a plain thread it blocks that thread.
  // Panics when called from within `f`, which would wait for itself.
  template <std::invocable F>
  void call(F&& f) {
    if (done() || !begin()) return;
    struct Attempt {
      Once& once;
      bool done = false;
      ~Attempt() { once.end(done); }
    } attempt{*this};
    std::invoke(std::forward<F>(f));
    attempt.done = true;
  }
  // Whether a call has succeeded. Never parks.
  bool done() const noexcept {
    // Acquire: pairs with end()'s release; carries what the function wrote.
    return state_.load(std::memory_order_acquire) == kDone;
  }

 private:
  static constexpr std::uint32_t kDone = 2;

  // True: it is the caller's turn to run the function, and to call end() afterwards.
  bool begin();
  void end(bool done) noexcept;

  std::atomic<std::uint32_t> state_{0};
  // Under the word's lock bit; see once.cpp.
  rt::G* runner_ = nullptr;
  rt::Waiter* head_ = nullptr;
  rt::Waiter* tail_ = nullptr;
};

// A value made by a function the first time it is asked for; Once's rules hold, for exceptions too.
//
//   treadle::Lazy config([] { return load_config(); });
//   listen(config->address);
template <std::invocable F>
class Lazy {
 public:
  using value_type = std::remove_cvref_t<std::invoke_result_t<F&>>;

  explicit Lazy(F make) : make_(std::move(make)) {}

  // The value, which lives as long as the Lazy. Parks as Once::call() does.
  value_type& get() {
    once_.call([this] { value_.emplace(std::invoke(make_)); });
    return *value_;
  }
  value_type& operator*() { return get(); }
  value_type* operator->() { return std::addressof(get()); }
  // Whether it has been made. Never parks.
  bool made() const noexcept { return once_.done(); }

 private:
  F make_;
  Once once_;
  std::optional<value_type> value_;
};

}  // namespace treadle
