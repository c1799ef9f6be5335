#include "json_printer.h"

#include <string>
#include <utility>

#include "byte_vectors.h"

namespace treadle::http::detail {
namespace {

// Whether a byte among these has to be escaped, or looked at as UTF-8.
bool has_special(Bytes16 bytes) noexcept {
  return any((Bytes16)((bytes < 0x20) | (bytes >= 0x7f) | (bytes == '"') | (bytes == '\\')));
}

bool is_plain(std::string_view text) noexcept {
  constexpr std::size_t kStep = sizeof(Bytes16);
  for (; text.size() >= kStep; text.remove_prefix(kStep))
    if (has_special(load16(text.data()))) return false;
  return !has_special(load_tail(text));
}

template <class Number>
void add_number(fmt::memory_buffer& to, Number number) {
  const fmt::format_int digits(number);
  to.append(digits.data(), digits.data() + digits.size());
}

void add_word(fmt::memory_buffer& to, std::string_view word) {
  to.append(word.data(), word.data() + word.size());
}

}  // namespace

JsonPrinter::Outcome JsonPrinter::print(const nlohmann::json& value, std::size_t depth) {
  text_.clear();
  try {
    return add(value, depth) ? Outcome::printed : Outcome::too_deep;
  } catch (const nlohmann::json::type_error&) {
    return Outcome::not_utf8;
  }
}

// False: nested too deep.
bool JsonPrinter::add(const nlohmann::json& value, std::size_t depth) {
  using Kind = nlohmann::json::value_t;
  switch (value.type()) {
    case Kind::object: return depth > 0 && add_object(value, depth - 1);
    case Kind::array: return depth > 0 && add_array(value, depth - 1);
    case Kind::string:
      if (!add_plain(value.get_ref<const std::string&>())) add_by_library(value);
      return true;
    case Kind::boolean: add_word(text_, value.get<bool>() ? "true" : "false"); return true;
    case Kind::number_integer: add_number(text_, value.get<std::int64_t>()); return true;
    case Kind::number_unsigned: add_number(text_, value.get<std::uint64_t>()); return true;
    case Kind::null:
    case Kind::number_float:
    case Kind::binary:
    case Kind::discarded: break;
  }
  add_by_library(value);
  return true;
}

bool JsonPrinter::add_object(const nlohmann::json& value, std::size_t depth) {
  char before = '{';
  for (const auto& [name, member] : value.get_ref<const nlohmann::json::object_t&>()) {
    text_.push_back(std::exchange(before, ','));
    if (!add_plain(name)) add_by_library(name);
    text_.push_back(':');
    if (!add(member, depth)) return false;
  }
  if (before == '{') text_.push_back(before);
  text_.push_back('}');
  return true;
}

bool JsonPrinter::add_array(const nlohmann::json& value, std::size_t depth) {
  char before = '[';
  for (const nlohmann::json& element : value.get_ref<const nlohmann::json::array_t&>()) {
    text_.push_back(std::exchange(before, ','));
    if (!add(element, depth)) return false;
  }
  if (before == '[') text_.push_back(before);
  text_.push_back(']');
  return true;
}

// A string that stands for itself. False: it does not, and nothing is added.
bool JsonPrinter::add_plain(std::string_view text) {
  if (!is_plain(text)) return false;
  text_.push_back('"');
  text_.append(text.data(), text.data() + text.size());
  text_.push_back('"');
  return true;
}

// Throws type_error for a string that is not UTF-8.
void JsonPrinter::add_by_library(const nlohmann::json& value) { add_word(text_, value.dump()); }

}  // namespace treadle::http::detail
