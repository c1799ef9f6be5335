// Request ids: what ties the lines of several programs to one request.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace treadle::http {

inline constexpr std::size_t kLongestRequestId = 128;

// 32 lower-case hex digits: 16 that the process drew at random when it began, and 16 of a count
// that a keyed permutation hides. So no two are alike within a process, nor, but for a chance of
// one in 2^64, between processes or restarts, and an id says nothing about how many there were.
// They are no secrets: do not use one as a token.
class RequestId {
 public:
  static constexpr std::size_t kSize = 32;
  // Some 15 ns, no system call but at the first. Never parks; any thread.
  static RequestId make() noexcept;
  std::string_view view() const noexcept { return {text_.data(), text_.size()}; }

 private:
  std::array<char, kSize> text_;
};

// Whether an id from outside may be passed on: 1 to 128 of [A-Za-z0-9._-]. Pure.
bool valid_request_id(std::string_view id) noexcept;

// Makes `id` the one that came with the request when that is valid, and a new one otherwise. Of a
// request whose sender is not trusted `came` is empty. No allocation where `id` has the room.
void choose_request_id(std::string& id, std::string_view came);

}  // namespace treadle::http
