// Media types by file name.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace treadle::http {

// The Content-Type for a file called `name` (a path is fine), by its extension, case ignored; text
// types carry "; charset=utf-8". "application/octet-stream" for what is not known. Static text.
std::string_view mime_type(std::string_view name) noexcept;

// The same with a site's own types, which go before those above.
class MimeTypes {
 public:
  using Entry = std::pair<std::string, std::string>;  // extension, without its dot; type

  MimeTypes() = default;
  // Of two entries for one extension the first one counts.
  explicit MimeTypes(std::vector<Entry> own);

  // Lives as long as this object.
  std::string_view of(std::string_view name) const noexcept;

 private:
  std::vector<Entry> own_;  // a few, looked through one by one
};

}  // namespace treadle::http
