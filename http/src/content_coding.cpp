#include "content_coding.h"

#include <algorithm>
#include <cstddef>
#include <string>

#include "field_list.h"

namespace treadle::http {

CodingChoice choose_coding(const HeaderView& headers, std::span<const Coding> ours) {
  constexpr std::string_view kName = "Accept-Encoding";
  if (headers.count(kName) <= 1) return accept_encoding::negotiate(headers.get(kName), ours);
  std::string all;
  for (const HeaderField& field : headers)
    if (equal_ignore_case(field.name, kName)) all.append(field.value).append(",");
  return accept_encoding::negotiate(all, ours);
}

bool is_compressible(std::string_view media_type) noexcept {
  std::string_view type = trim_ows(media_type.substr(0, media_type.find(';')));
  constexpr std::array<std::string_view, 19> kTypes{
      "application/javascript",
      "application/json",
      "application/x-javascript",
      "application/x-ndjson",
      "application/xml",
      "application/wasm",
      "application/graphql",
      "application/rtf",
      "application/sql",
      "application/toml",
      "application/yaml",
      "application/x-sh",
      "application/x-tar",
      "application/vnd.ms-fontobject",
      "font/otf",
      "font/ttf",
      "image/bmp",
      "image/svg+xml",
      "image/x-icon",
  };
  const auto is = [&](std::string_view known) { return equal_ignore_case(type, known); };
  const auto ends = [&](std::string_view suffix) {
    return type.size() > suffix.size() &&
           equal_ignore_case(type.substr(type.size() - suffix.size()), suffix);
  };
  return equal_ignore_case(type.substr(0, 5), "text/") || ends("+json") || ends("+xml") ||
         std::ranges::any_of(kTypes, is);
}

}  // namespace treadle::http
