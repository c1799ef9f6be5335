// What a connection is doing, for whoever asks from elsewhere.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace treadle::http::detail {

// The beginning of a request line, written by the connection's goroutine for each request, read by
// a shutdown that names its stragglers. A sequence lock:
//   writer: version odd (relaxed), release fence, words, version even (release)
//   reader: version (acquire), words, acquire fence, version again: differs or odd means torn
class Doing {
 public:
  void set(std::string_view method, std::string_view target) noexcept {
    std::array<char, kSize> text;
    std::size_t n = method.copy(text.data(), kSize - 1);
    if (n < kSize) text[n++] = ' ';
    if (n < kSize) n += target.copy(text.data() + n, kSize - n);
    // Up to the word with the NUL that ends it; what stands behind is of earlier requests.
    const std::size_t words = std::min(n / sizeof(std::uint64_t) + 1, kWords);
    std::memset(text.data() + n, 0, words * sizeof(std::uint64_t) - n);
    const std::uint32_t version = version_.load(std::memory_order_relaxed);
    version_.store(version + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    for (std::size_t i = 0; i < words; ++i) {
      std::uint64_t word;
      std::memcpy(&word, text.data() + i * sizeof word, sizeof word);
      words_[i].store(word, std::memory_order_relaxed);
    }
    version_.store(version + 2, std::memory_order_release);
    number_ = 0;
  }
  // The same. `number` is that of the two texts: no others ever have it. 0: they have none.
  void set(std::string_view method, std::string_view target, std::uint64_t number) noexcept {
    if (number != 0 && number == number_) return;
    set(method, target);
    number_ = number;
  }

  // Empty when the writer was at it each time we looked.
  std::string get() const {
    for (int attempt = 0; attempt < 100; ++attempt) {
      const std::uint32_t before = version_.load(std::memory_order_acquire);
      std::array<char, kSize> text;
      for (std::size_t i = 0; i < kWords; ++i) {
        const std::uint64_t word = words_[i].load(std::memory_order_relaxed);
        std::memcpy(text.data() + i * sizeof word, &word, sizeof word);
      }
      std::atomic_thread_fence(std::memory_order_acquire);
      if (before % 2 != 0 || version_.load(std::memory_order_relaxed) != before) continue;
      return {text.data(),
              static_cast<std::size_t>(std::find(text.begin(), text.end(), '\0') - text.begin())};
    }
    return {};
  }

 private:
  static constexpr std::size_t kWords = 8;
  static constexpr std::size_t kSize = kWords * sizeof(std::uint64_t);

  std::uint64_t number_ = 0;  // of what stands here; the writer's
  std::atomic<std::uint32_t> version_{0};
  std::array<std::atomic<std::uint64_t>, kWords> words_{};
};

}  // namespace treadle::http::detail
