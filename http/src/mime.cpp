// The extensions a web site's files commonly have. Others are octet-stream, which browsers save
// rather than guess at.
#include "mime.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include <treadle/http/header.h>

#include "chars.h"

namespace treadle::http {
namespace {

struct Entry {
  std::string_view extension;  // lower case, without the dot
  std::string_view type;
};

// Sorted by extension.
constexpr Entry kTypes[] = {
    {"7z", "application/x-7z-compressed"},
    {"aac", "audio/aac"},
    {"apng", "image/apng"},
    {"atom", "application/atom+xml"},
    {"avif", "image/avif"},
    {"bmp", "image/bmp"},
    {"bz2", "application/x-bzip2"},
    {"c", "text/plain; charset=utf-8"},
    {"cc", "text/plain; charset=utf-8"},
    {"conf", "text/plain; charset=utf-8"},
    {"cpp", "text/plain; charset=utf-8"},
    {"css", "text/css; charset=utf-8"},
    {"csv", "text/csv; charset=utf-8"},
    {"epub", "application/epub+zip"},
    {"flac", "audio/flac"},
    {"gif", "image/gif"},
    {"gz", "application/gzip"},
    {"h", "text/plain; charset=utf-8"},
    {"htm", "text/html; charset=utf-8"},
    {"html", "text/html; charset=utf-8"},
    {"ico", "image/vnd.microsoft.icon"},
    {"ics", "text/calendar; charset=utf-8"},
    {"ini", "text/plain; charset=utf-8"},
    {"jpeg", "image/jpeg"},
    {"jpg", "image/jpeg"},
    {"js", "text/javascript; charset=utf-8"},
    {"json", "application/json"},
    {"jsonld", "application/ld+json"},
    {"jxl", "image/jxl"},
    {"log", "text/plain; charset=utf-8"},
    {"m4a", "audio/mp4"},
    {"m4v", "video/mp4"},
    {"map", "application/json"},
    {"md", "text/markdown; charset=utf-8"},
    {"mid", "audio/midi"},
    {"mjs", "text/javascript; charset=utf-8"},
    {"mov", "video/quicktime"},
    {"mp3", "audio/mpeg"},
    {"mp4", "video/mp4"},
    {"mpeg", "video/mpeg"},
    {"oga", "audio/ogg"},
    {"ogg", "audio/ogg"},
    {"ogv", "video/ogg"},
    {"opus", "audio/ogg"},
    {"otf", "font/otf"},
    {"pdf", "application/pdf"},
    {"png", "image/png"},
    {"py", "text/plain; charset=utf-8"},
    {"rss", "application/rss+xml"},
    {"rtf", "application/rtf"},
    {"sh", "text/plain; charset=utf-8"},
    {"svg", "image/svg+xml; charset=utf-8"},
    {"tar", "application/x-tar"},
    {"tgz", "application/gzip"},
    {"tif", "image/tiff"},
    {"tiff", "image/tiff"},
    {"toml", "application/toml"},
    {"ts", "video/mp2t"},
    {"ttf", "font/ttf"},
    {"txt", "text/plain; charset=utf-8"},
    {"vtt", "text/vtt; charset=utf-8"},
    {"wasm", "application/wasm"},
    {"wav", "audio/wav"},
    {"weba", "audio/webm"},
    {"webm", "video/webm"},
    {"webmanifest", "application/manifest+json"},
    {"webp", "image/webp"},
    {"woff", "font/woff"},
    {"woff2", "font/woff2"},
    {"xhtml", "application/xhtml+xml; charset=utf-8"},
    {"xml", "text/xml; charset=utf-8"},
    {"xz", "application/x-xz"},
    {"yaml", "application/yaml"},
    {"yml", "application/yaml"},
    {"zip", "application/zip"},
    {"zst", "application/zstd"},
};

constexpr std::size_t kLongestExtension = 11;
constexpr std::string_view kUnknown = "application/octet-stream";

static_assert(std::is_sorted(std::begin(kTypes), std::end(kTypes),
                             [](const Entry& a, const Entry& b) {
                               return a.extension < b.extension;
                             }),
              "mime_type() searches by halves");
static_assert(std::all_of(std::begin(kTypes), std::end(kTypes), [](const Entry& entry) {
  return entry.extension.size() <= kLongestExtension;
}));

// Behind the last dot of the last segment; empty where there is none.
std::string_view extension_of(std::string_view name) noexcept {
  name = name.substr(name.rfind('/') + 1);  // npos + 1 is 0
  const std::size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : name.substr(dot + 1);
}

}  // namespace

std::string_view mime_type(std::string_view name) noexcept {
  const std::string_view extension = extension_of(name);
  if (extension.empty() || extension.size() > kLongestExtension) return kUnknown;

  std::array<char, kLongestExtension> lower{};
  std::transform(extension.begin(), extension.end(), lower.begin(), chars::to_lower);
  const std::string_view wanted(lower.data(), extension.size());
  const auto* found = std::lower_bound(
      std::begin(kTypes), std::end(kTypes), wanted,
      [](const Entry& entry, std::string_view key) { return entry.extension < key; });
  if (found == std::end(kTypes) || found->extension != wanted) return kUnknown;
  return found->type;
}

MimeTypes::MimeTypes(std::vector<Entry> own) : own_(std::move(own)) {}

std::string_view MimeTypes::of(std::string_view name) const noexcept {
  const std::string_view extension = extension_of(name);
  if (!extension.empty()) {
    for (const Entry& entry : own_)
      if (equal_ignore_case(entry.first, extension)) return entry.second;
  }
  return mime_type(name);
}

}  // namespace treadle::http
