// Header fields.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace treadle::http {

// A field as it came: views into the connection's buffer, valid until the handler returns.
struct HeaderField {
  std::string_view name;
  std::string_view value;  // without surrounding white space
};

// A request's header fields, in the order they came. Look-ups ignore the case of names (RFC 9110
// 5.1) and walk the list: no allocation, no map. Views live until the handler returns.
class HeaderView {
 public:
  HeaderView() noexcept = default;
  explicit HeaderView(const std::vector<HeaderField>& fields) noexcept : fields_(&fields) {}

  // The first field of that name; empty view when there is none.
  std::string_view get(std::string_view name) const noexcept;
  bool has(std::string_view name) const noexcept;
  // How many fields have that name.
  std::size_t count(std::string_view name) const noexcept;
  // True when one of the comma-separated members of the fields called `name` equals `token`, case
  // ignored (RFC 9110 5.6.1).
  bool has_token(std::string_view name, std::string_view token) const noexcept;

  const HeaderField* begin() const noexcept;
  const HeaderField* end() const noexcept;
  std::size_t size() const noexcept { return static_cast<std::size_t>(end() - begin()); }

 private:
  const std::vector<HeaderField>* fields_ = nullptr;
};

// A response's header fields, owned. Names keep the case they were given; comparison ignores it.
// An invalid name (RFC 9110 5.6.2 token) or a CR, LF or NUL in a value panics.
class Headers {
 public:
  void set(std::string_view name, std::string_view value);  // replaces every field of that name
  void add(std::string_view name, std::string_view value);
  void remove(std::string_view name) noexcept;
  std::optional<std::string_view> get(std::string_view name) const noexcept;
  bool has(std::string_view name) const noexcept { return get(name).has_value(); }
  bool empty() const noexcept { return fields_.empty(); }
  void clear() noexcept { fields_.clear(); }  // keeps its memory

  using Field = std::pair<std::string, std::string>;
  const std::vector<Field>& fields() const noexcept { return fields_; }

 private:
  std::vector<Field> fields_;
};

namespace detail {
bool equal_but_for_case(const char* a, const char* b, std::size_t size) noexcept;
}

// Comparison of names and tokens: ASCII letters only.
inline bool equal_ignore_case(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() && detail::equal_but_for_case(a.data(), b.data(), a.size());
}
bool is_token(std::string_view text) noexcept;        // RFC 9110 5.6.2
bool is_field_value(std::string_view text) noexcept;  // no CR, LF, NUL or other control but HT

}  // namespace treadle::http
