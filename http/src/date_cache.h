// The text of a second, formatted once and read by everybody without a lock.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "text_room.h"

namespace treadle::http::detail {

// The wall clock's second, from the kernel's coarse clock (some milliseconds late, 3 ns).
std::int64_t wall_seconds() noexcept;

inline constexpr std::size_t kCachedTextSize = 32;
using CachedText = std::array<char, kCachedTextSize>;

// A small ring of formatted seconds. `Format` fills a CachedText for a second.
//
// A slot is valid for second s while `second` is s. A writer takes a slot from its old second to
// kBusy by compare-and-swap, so that there is one writer; it stores the words with release and then
// `second` with release. A reader loads `second`, the words with acquire, and `second` again: had
// it seen a word of a later writer, that acquire would show it kBusy or the later second.
template <auto Format>
class SecondCache {
 public:
  CachedText get(std::int64_t second) noexcept {
    Slot& slot = slots_[static_cast<std::size_t>(second) % kSlots];
    CachedText text;
    if (slot.second.load(std::memory_order_acquire) == second) {  // pairs with the last store below
      for (std::size_t i = 0; i < kWords; ++i) {
        const std::uint64_t word = slot.words[i].load(std::memory_order_acquire);
        std::memcpy(text.data() + i * sizeof word, &word, sizeof word);
      }
      if (slot.second.load(std::memory_order_relaxed) == second) return text;
    }
    text = Format(second);
    store(slot, second, text);
    return text;
  }

 private:
  static constexpr std::size_t kSlots = 4;
  static constexpr std::size_t kWords = kCachedTextSize / sizeof(std::uint64_t);
  static constexpr std::int64_t kBusy = -1;

  struct alignas(64) Slot {
    std::atomic<std::int64_t> second{kBusy - 1};
    std::array<std::atomic<std::uint64_t>, kWords> words{};
  };

  static void store(Slot& slot, std::int64_t second, const CachedText& text) noexcept {
    std::int64_t old = slot.second.load(std::memory_order_relaxed);
    // A clock set back must not thrash the ring, nor two writers meet.
    if (old == kBusy || old == second) return;
    if (!slot.second.compare_exchange_strong(old, kBusy, std::memory_order_acq_rel)) return;
    for (std::size_t i = 0; i < kWords; ++i) {
      std::uint64_t word;
      std::memcpy(&word, text.data() + i * sizeof word, sizeof word);
      slot.words[i].store(word, std::memory_order_release);
    }
    slot.second.store(second, std::memory_order_release);
  }

  std::array<Slot, kSlots> slots_;
};

// "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n".
inline constexpr std::size_t kDateField = 37;
void put_date_field(TextRoom& to, std::int64_t second) noexcept;
// For now.
void append_date_field(std::string& out);
// "06/Nov/1994:08:49:37 +0000" for now, as access logs write it.
CachedText log_time() noexcept;
inline constexpr std::size_t kLogTimeSize = 26;

}  // namespace treadle::http::detail
