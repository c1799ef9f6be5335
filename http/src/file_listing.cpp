#include "file_listing.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <treadle/blocking.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "url.h"

namespace treadle::http::detail {
namespace {

struct CloseDir {
  void operator()(DIR* d) const noexcept { ::closedir(d); }
};
using DirStream = std::unique_ptr<DIR, CloseDir>;

// A stream of its own: the File's offset belongs to the File.
DirStream open_stream(int fd) {
  const int own = ::openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (own < 0) return nullptr;
  DIR* stream = ::fdopendir(own);
  if (stream == nullptr) {
    const int error = errno;
    ::close(own);
    errno = error;
  }
  return DirStream(stream);
}

Result<std::vector<ListedFile>> read_entries(int fd, std::size_t most) {
  const DirStream stream = open_stream(fd);
  if (!stream) {
    const int error = errno;
    return fail_errno(error);
  }
  std::vector<ListedFile> files;
  while (files.size() < most) {
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) break;
    if (entry->d_name[0] == '.') continue;
    struct stat st{};
    if (::fstatat(::dirfd(stream.get()), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (S_ISDIR(st.st_mode))
      files.push_back({entry->d_name, true, 0});
    else if (S_ISREG(st.st_mode))
      files.push_back({entry->d_name, false, static_cast<std::uint64_t>(st.st_size)});
  }
  std::ranges::sort(files, [](const ListedFile& a, const ListedFile& b) {
    return a.directory != b.directory ? a.directory : a.name < b.name;
  });
  return files;
}

std::string readable_size(std::uint64_t bytes) {
  constexpr std::string_view kUnits = "KMGTPE";
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  for (; value >= 1000 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return fmt::format("{:.1f} {}B", value, kUnits[unit]);
}

}  // namespace

Result<std::vector<ListedFile>> read_directory(const net::File& directory, std::size_t most) {
  return blocking([&] { return read_entries(directory.fd(), most); });
}

std::string html_escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string listing_page(std::string_view path, const std::vector<ListedFile>& files,
                         bool has_parent) {
  const std::string title = html_escape(path);
  std::string page = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
      "<title>{0}</title>\n<style>body{{font:16px/1.5 sans-serif;margin:1em auto;max-width:50em;"
      "padding:0 1em}}td{{padding:.3em .5em;overflow-wrap:anywhere}}td+td{{text-align:right;"
      "white-space:nowrap}}table{{width:100%}}</style></head>\n<body><h1>{0}</h1>\n<table>\n",
      title);
  if (has_parent) page += "<tr><td><a href=\"../\">../</a></td><td></td></tr>\n";
  for (const ListedFile& f : files) {
    const char* slash = f.directory ? "/" : "";
    // "./" first: a name like "x:y" must not look like a URL's scheme.
    page += fmt::format("<tr><td><a href=\"./{0}{1}\">{2}{1}</a></td><td>{3}</td></tr>\n",
                        percent_encode(f.name), slash, html_escape(f.name),
                        f.directory ? std::string() : readable_size(f.size));
  }
  page += "</table></body></html>\n";
  return page;
}

}  // namespace treadle::http::detail
