// JSON values as text: what nlohmann::json's dump() writes, sooner for what is common.
#pragma once

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace treadle::http::detail {

// Prints one value. Numbers with a fraction, and strings that are not plain ASCII or have something
// to be escaped, are left to the library, each for itself; so the text is the same as its own.
class JsonPrinter {
 public:
  enum class Outcome : std::uint8_t { printed, too_deep, not_utf8 };

  // Values nested deeper than `depth` are refused before anything recurses deeper.
  Outcome print(const nlohmann::json& value, std::size_t depth);
  // What was printed; whole when print() said so.
  std::string_view text() const noexcept { return {text_.data(), text_.size()}; }

 private:
  bool add(const nlohmann::json& value, std::size_t depth);
  bool add_object(const nlohmann::json& value, std::size_t depth);
  bool add_array(const nlohmann::json& value, std::size_t depth);
  bool add_plain(std::string_view text);
  void add_by_library(const nlohmann::json& value);

  fmt::memory_buffer text_;  // a small one needs no memory
};

}  // namespace treadle::http::detail
