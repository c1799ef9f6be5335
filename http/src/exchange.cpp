#include "exchange.h"

#include <sched.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace treadle::http::detail {
namespace {

// A few stacks of idle Exchanges, the last one used on top, since its memory is still in a cache.
// The CPU picks where to look first, which keeps threads apart. A shelf that
// somebody else holds is passed by, never waited for: its holder may have been descheduled.
class Pool {
 public:
  Exchange* take() noexcept {
    for (std::size_t i = 0, at = home(); i < kShelves; ++i, ++at) {
      Shelf& shelf = shelves_[at % kShelves];
      if (shelf.busy.test_and_set(std::memory_order_acquire)) continue;
      Exchange* x = shelf.count > 0 ? shelf.idle[--shelf.count] : nullptr;
      shelf.busy.clear(std::memory_order_release);  // pairs with the next test_and_set
      if (x != nullptr) return x;
    }
    return nullptr;
  }

  bool put(Exchange* x) noexcept {
    for (std::size_t i = 0, at = home(); i < kShelves; ++i, ++at) {
      Shelf& shelf = shelves_[at % kShelves];
      if (shelf.busy.test_and_set(std::memory_order_acquire)) continue;
      const bool fits = shelf.count < kPerShelf;
      if (fits) shelf.idle[shelf.count++] = x;
      shelf.busy.clear(std::memory_order_release);
      if (fits) return true;
    }
    return false;
  }

 private:
  static constexpr std::size_t kShelves = 8;
  static constexpr std::size_t kPerShelf = 32;  // 8 x 32 x 56 KB: 14 MB stay at most

  struct alignas(64) Shelf {
    std::atomic_flag busy;
    std::size_t count = 0;                    // under busy
    std::array<Exchange*, kPerShelf> idle{};  // under busy
  };

  static std::size_t home() noexcept { return static_cast<std::size_t>(::sched_getcpu()); }

  std::array<Shelf, kShelves> shelves_;
};

// Never destroyed: connections may outlive main().
Pool& pool() {
  static Pool* const instance = new Pool;
  return *instance;
}

// One more for each of the first threads that give one back: theirs alone, so that a request which
// is served without a wait takes and returns it by a plain store each. Others, and a thread whose
// own is in use, go to the shelves.
//
// No address of it outlives a call of this file: none of them parks, and none is inlined (by
// link-time optimisation, or a unity build) into a function that does. It has no destructor, so
// that what ends later on its thread may still come here.
struct ThreadsOwn {
  enum class State : std::uint8_t { unknown, one, none };

  Exchange* take() noexcept { return std::exchange(idle, nullptr); }
  bool put(Exchange* x) noexcept {
    if (idle != nullptr || (state != State::one && !may_have_one())) return false;
    idle = x;
    return true;
  }
  [[gnu::noinline]] bool may_have_one() noexcept;

  Exchange* idle;
  State state;
};
constinit thread_local ThreadsOwn own{};

// Frees it at its thread's end.
struct Freer {
  ~Freer() {
    own.state = ThreadsOwn::State::none;
    delete own.take();
  }
  void begin() noexcept {}
};
thread_local Freer freer;

bool ThreadsOwn::may_have_one() noexcept {
  static constinit std::atomic<int> left{64};  // 64 x 56 KB: 4 MB stay at most
  if (state == State::unknown) {
    state = left.fetch_sub(1, std::memory_order_relaxed) > 0 ? State::one : State::none;
    freer.begin();
  }
  return state == State::one;
}

}  // namespace

[[gnu::noinline]] ExchangePtr acquire_exchange() {
  if (Exchange* x = own.take()) return ExchangePtr(x);
  if (Exchange* x = pool().take()) return ExchangePtr(x);
  return ExchangePtr(new Exchange);
}

[[gnu::noinline]] void ExchangeReturner::operator()(Exchange* x) const noexcept {
  x->in.clear();
  x->in.shrink();
  x->parser.reset();
  x->request.clear();
  x->body.end();
  x->writer.release();
  x->held.clear();
  if (!own.put(x) && !pool().put(x)) delete x;
}

}  // namespace treadle::http::detail
