#include "held_output.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>

namespace treadle::http::detail {

bool HeldRoom::append(std::span<const iovec> parts) {
  std::size_t more = 0;
  for (const iovec& part : parts) more += part.iov_len;
  if (more > kMost - size) return false;
  if (!bytes) bytes = std::make_unique_for_overwrite<char[]>(kMost);
  for (const iovec& part : parts) {
    if (part.iov_len != 0) std::memcpy(bytes.get() + size, part.iov_base, part.iov_len);
    size += part.iov_len;
  }
  return true;
}

std::error_code HeldOutput::claim() {
  for (;;) {
    State now = State::held;
    if (state_.compare_exchange_strong(now, State::mine, std::memory_order_acquire)) return {};
    switch (now) {
      case State::unwatched:
        wants_watch_ = true;
        state_.store(State::mine, std::memory_order_relaxed);  // nobody else changes this state
        return {};
      case State::none:
        if (move(State::none, State::mine)) return {};
        break;
      case State::taken: {
        const std::lock_guard until_sent(turn);
        break;
      }
      case State::failed: return error_;
      case State::mine:
      case State::held: break;
    }
  }
}

void HeldOutput::settle(std::size_t written, std::error_code error) noexcept {
  if (error) {
    lost_ += static_cast<std::uint32_t>(std::count_if(
        room_->ends.begin(), room_->ends.end(), [&](std::uint32_t end) { return end > written; }));
    error_ = error;
  }
  room_->clear();
  // Release: pairs with nothing(), claim() and error().
  state_.store(error ? State::failed : State::none, std::memory_order_release);
}

bool HeldOutput::try_unwatch() noexcept {
  State now = State::none;
  if (state_.compare_exchange_strong(now, State::unwatched, std::memory_order_acq_rel)) return true;
  return now == State::failed;
}

std::error_code HeldOutput::error() const noexcept {
  return state_.load(std::memory_order_acquire) == State::failed ? error_ : std::error_code();
}

}  // namespace treadle::http::detail
