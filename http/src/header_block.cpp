#include "header_block.h"

#include <fmt/format.h>

#include <string>

#include <treadle/http/header.h>
#include <treadle/result.h>

namespace treadle::http::detail {
namespace {

// A message ends at its first NUL.
std::string without_nul(std::string_view text) {
  std::string shown;
  for (const char c : text) c == '\0' ? shown.append("\\0") : shown.append(1, c);
  return shown;
}

void require_valid(std::string_view name, std::string_view value) {
  if (!is_token(name)) throw Panic(fmt::format("http: invalid header name \"{}\"", name));
  if (!is_field_value(value))
    throw Panic(fmt::format("http: invalid value \"{}\" for header {}", without_nul(value), name));
}

}  // namespace

std::string_view HeaderBlock::name_of(const Line& line) const noexcept {
  return std::string_view(text_).substr(line.begin, line.name_size);
}

void HeaderBlock::append(std::string_view name, std::string_view value) {
  lines_.push_back({static_cast<std::uint32_t>(text_.size()),
                    static_cast<std::uint32_t>(name.size()),
                    static_cast<std::uint32_t>(value.size())});
  append_text(text_, lines_.back().size(),
              [&](TextRoom& to) { to.put(name).put(": ").put(value).put("\r\n"); });
}

void HeaderBlock::add(std::string_view name, std::string_view value) {
  require_valid(name, value);
  append(name, value);
}

void HeaderBlock::set(std::string_view name, std::string_view value) {
  require_valid(name, value);
  remove(name);
  append(name, value);
}

void HeaderBlock::remove(std::string_view name) noexcept {
  std::uint32_t removed = 0;
  std::erase_if(lines_, [&](Line& line) {
    line.begin -= removed;
    if (!equal_ignore_case(name_of(line), name)) return false;
    text_.erase(line.begin, line.size());
    removed += line.size();
    return true;
  });
}

std::optional<std::string_view> HeaderBlock::get(std::string_view name) const noexcept {
  for (const Line& line : lines_)
    if (equal_ignore_case(name_of(line), name))
      return std::string_view(text_).substr(line.begin + line.name_size + 2, line.value_size);
  return {};
}

void HeaderBlock::put_missing(TextRoom& to, const HeaderBlock& present) const noexcept {
  for (const Line& line : lines_) {
    const std::string_view name = name_of(line);
    if (present.get(name) && !equal_ignore_case(name, "Vary")) continue;
    to.put(std::string_view(text_).substr(line.begin, line.size()));
  }
}

void HeaderBlock::clear() noexcept {
  text_.clear();
  lines_.clear();
}

}  // namespace treadle::http::detail
