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
  return {text_.data() + line.begin, line.name_size};
}

const HeaderBlock::Line* HeaderBlock::find(std::string_view name) const noexcept {
  for (std::size_t i = 0; i < count_; ++i)
    if (equal_ignore_case(name_of(lines_[i]), name)) return &lines_[i];
  return nullptr;
}

// What is no longer in force would be in the way of another line.
void HeaderBlock::drop_rest() noexcept {
  lines_.resize(count_);
  text_.resize(size_);
}

// Takes the field in if it is the one that stood here. That one was found valid.
bool HeaderBlock::comes_again(std::string_view name, std::string_view value) noexcept {
  if (count_ == lines_.size()) return false;
  const Line& line = lines_[count_];
  if (line.name_size != name.size() || line.value_size != value.size()) return false;
  const char* at = text_.data() + line.begin;
  if (std::string_view(at, name.size()) != name ||
      std::string_view(at + name.size() + 2, value.size()) != value)
    return false;
  ++count_;
  size_ += line.size();
  return true;
}

void HeaderBlock::append(std::string_view name, std::string_view value) {
  drop_rest();
  changed_ = true;
  const Line line{static_cast<std::uint32_t>(size_), static_cast<std::uint32_t>(name.size()),
                  static_cast<std::uint32_t>(value.size())};
  append_text(text_, line.size(),
              [&](TextRoom& to) { to.put(name).put(": ").put(value).put("\r\n"); });
  // Last: should memory run out, no line may stand there without its text.
  lines_.push_back(line);
  count_ = lines_.size();
  size_ = text_.size();
}

void HeaderBlock::add(std::string_view name, std::string_view value) {
  if (comes_again(name, value)) return;
  require_valid(name, value);
  append(name, value);
}

void HeaderBlock::set(std::string_view name, std::string_view value) {
  if (!has(name)) return add(name, value);
  require_valid(name, value);
  remove(name);
  append(name, value);
}

void HeaderBlock::remove(std::string_view name) noexcept {
  if (!has(name)) return;
  drop_rest();
  changed_ = true;
  std::uint32_t removed = 0;
  std::erase_if(lines_, [&](Line& line) {
    line.begin -= removed;
    if (!equal_ignore_case(name_of(line), name)) return false;
    text_.erase(line.begin, line.size());
    removed += line.size();
    return true;
  });
  count_ = lines_.size();
  size_ = text_.size();
}

std::optional<std::string_view> HeaderBlock::get(std::string_view name) const noexcept {
  const Line* line = find(name);
  if (line == nullptr) return {};
  return std::string_view(text_.data() + line->begin + line->name_size + 2, line->value_size);
}

void HeaderBlock::put_missing(TextRoom& to, const HeaderBlock& present) const noexcept {
  for (std::size_t i = 0; i < count_; ++i) {
    const Line& line = lines_[i];
    const std::string_view name = name_of(line);
    if (present.has(name) && !equal_ignore_case(name, "Vary")) continue;
    to.put({text_.data() + line.begin, line.size()});
  }
}

}  // namespace treadle::http::detail
