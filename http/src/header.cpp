// Header fields: look-ups over a request's views, and the list a response owns.
#include <treadle/http/header.h>

#include <algorithm>

#include <treadle/result.h>

#include "byte_vectors.h"
#include "chars.h"
#include "field_list.h"

namespace treadle::http {
namespace {

// A refused field panics: it would let whoever supplied the text write header lines of their own.
void check_field(std::string_view name, std::string_view value) {
  if (!is_token(name)) {
    throw Panic("treadle::http: invalid header field name of " + std::to_string(name.size()) +
                " bytes");
  }
  if (!is_field_value(value)) {
    throw Panic("treadle::http: control character in the value of header field " +
                std::string(name));
  }
}

}  // namespace

bool detail::equal_but_for_case(const char* a, const char* b, std::size_t size) noexcept {
  // As a rule both are written as the RFCs do.
  if (std::string_view(a, size) == std::string_view(b, size)) return true;
  return std::equal(a, a + size, b,
                    [](char x, char y) { return chars::to_lower(x) == chars::to_lower(y); });
}

bool is_token(std::string_view text) noexcept {
  return !text.empty() && chars::all(text, chars::kToken);
}

bool is_field_value(std::string_view text) noexcept { return !has_control(text); }

const HeaderField* HeaderView::begin() const noexcept {
  return fields_ == nullptr ? nullptr : fields_->data();
}

const HeaderField* HeaderView::end() const noexcept {
  return fields_ == nullptr ? nullptr : fields_->data() + fields_->size();
}

std::string_view HeaderView::get(std::string_view name) const noexcept {
  for (const HeaderField& field : *this) {
    if (equal_ignore_case(field.name, name)) return field.value;
  }
  return {};
}

bool HeaderView::has(std::string_view name) const noexcept { return count(name) != 0; }

std::size_t HeaderView::count(std::string_view name) const noexcept {
  return static_cast<std::size_t>(std::count_if(begin(), end(), [name](const HeaderField& field) {
    return equal_ignore_case(field.name, name);
  }));
}

bool HeaderView::has_token(std::string_view name, std::string_view token) const noexcept {
  for (const HeaderField& field : *this) {
    if (!equal_ignore_case(field.name, name)) continue;
    FieldList list(field.value);
    while (const auto member = list.next()) {
      if (equal_ignore_case(*member, token)) return true;
    }
  }
  return false;
}

void Headers::set(std::string_view name, std::string_view value) {
  check_field(name, value);
  const auto same = [name](const Field& field) { return equal_ignore_case(field.first, name); };
  const auto first = std::find_if(fields_.begin(), fields_.end(), same);
  if (first == fields_.end()) {
    fields_.emplace_back(name, value);
    return;
  }
  // `value` may be a view into the field it replaces: assign copes with that, and the duplicates,
  // into which it may point too, go only afterwards.
  first->second.assign(value);
  fields_.erase(std::remove_if(first + 1, fields_.end(), same), fields_.end());
}

void Headers::add(std::string_view name, std::string_view value) {
  check_field(name, value);
  fields_.push_back(Field(name, value));
}

void Headers::remove(std::string_view name) noexcept {
  std::erase_if(fields_,
                [name](const Field& field) { return equal_ignore_case(field.first, name); });
}

std::optional<std::string_view> Headers::get(std::string_view name) const noexcept {
  for (const Field& field : fields_) {
    if (equal_ignore_case(field.first, name)) return field.second;
  }
  return std::nullopt;
}

}  // namespace treadle::http
