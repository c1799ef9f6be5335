#include "exchange.h"

#include <sched.h>

#include <array>
#include <atomic>
#include <cstddef>

namespace treadle::http::detail {
namespace {

// A few stacks of idle Exchanges, the last one used on top, since its memory is still in a cache.
// The CPU picks where to look first, which keeps threads apart without thread_local. A shelf that
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

}  // namespace

ExchangePtr acquire_exchange() {
  if (Exchange* x = pool().take()) return ExchangePtr(x);
  return ExchangePtr(new Exchange);
}

void ExchangeReturner::operator()(Exchange* x) const noexcept {
  x->in.clear();
  x->in.shrink();
  x->parser.reset();
  x->request.clear();
  x->body.end();
  x->writer.release();
  x->held.clear();
  if (!pool().put(x)) delete x;
}

}  // namespace treadle::http::detail
