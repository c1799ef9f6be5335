#include "file_listing.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <treadle/blocking.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
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

Result<Listed> read_entries(int fd, std::size_t most) {
  const DirStream stream = open_stream(fd);
  if (!stream) {
    const int error = errno;
    return fail_errno(error);
  }
  Listed listed;
  std::size_t seen = 0;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) {
      const int error = errno;
      if (error != 0) return fail_errno(error);
      break;
    }
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    // What is passed over counts too: it is as much work.
    if (++seen > most) {
      listed.cut = true;
      break;
    }
    if (name.front() == '.') continue;
    struct stat st{};
    if (::fstatat(::dirfd(stream.get()), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)) continue;
    const bool directory = S_ISDIR(st.st_mode);
    listed.files.push_back({entry->d_name, directory,
                            directory ? 0 : static_cast<std::uint64_t>(st.st_size),
                            static_cast<std::int64_t>(st.st_mtim.tv_sec)});
  }
  std::ranges::sort(listed.files, listed_before);
  return listed;
}

std::string readable_size(std::uint64_t bytes) {
  constexpr std::string_view kUnits = "KMGTPE";
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  for (; value >= 1000 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return fmt::format("{:.1f} {}B", value, kUnits[unit]);
}

// "2001-09-09 01:46", in UTC. The C library's gmtime_r() takes a lock, and may read a file.
std::string readable_time(std::int64_t seconds) {
  using std::chrono::floor;
  constexpr std::int64_t kYear9999 = 253402300799;
  const std::chrono::sys_seconds time{
      std::chrono::seconds(std::clamp<std::int64_t>(seconds, 0, kYear9999))};
  const auto day = floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(floor<std::chrono::minutes>(time - day));
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}", int(date.year()), unsigned(date.month()),
                     unsigned(date.day()), clock.hours().count(), clock.minutes().count());
}

// The length of the UTF-8 sequence that `text` begins with; 0 when it begins with none (RFC 3629:
// no overlong forms, no surrogates, nothing past U+10FFFF).
std::size_t utf8_length(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  const unsigned char second = byte(1);
  if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
      (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
    return 0;
  return length;
}

// C0, DEL and C1 controls.
bool is_control_sequence(std::string_view sequence) noexcept {
  const auto first = static_cast<unsigned char>(sequence[0]);
  if (sequence.size() == 1) return first < 0x20 || first == 0x7f;
  return sequence.size() == 2 && first == 0xc2 && static_cast<unsigned char>(sequence[1]) < 0xa0;
}

}  // namespace

Result<Listed> read_directory(const net::File& directory, std::size_t most) {
  return blocking([&] { return read_entries(directory.fd(), most); });
}

bool listed_before(const ListedFile& a, const ListedFile& b) noexcept {
  if (a.directory != b.directory) return a.directory;
  return ::strverscmp(a.name.c_str(), b.name.c_str()) < 0;
}

std::string html_text(std::string_view name) {
  std::string out;
  while (!name.empty()) {
    const std::size_t length = utf8_length(name);
    const std::string_view piece = name.substr(0, std::max<std::size_t>(length, 1));
    name.remove_prefix(piece.size());
    if (length == 0 || is_control_sequence(piece))
      out += "\xef\xbf\xbd";
    else if (piece == "&")
      out += "&amp;";
    else if (piece == "<")
      out += "&lt;";
    else if (piece == ">")
      out += "&gt;";
    else if (piece == "\"")
      out += "&quot;";
    else if (piece == "'")
      out += "&#39;";
    else
      out += piece;
  }
  return out;
}

std::string listing_head(std::string_view path, bool has_parent) {
  // On a narrow screen a name has a line of its own, with size and date in small below it.
  std::string page = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
      "<title>{0}</title>\n<style>:root{{color-scheme:light dark}}"
      "body{{font:16px/1.5 sans-serif;margin:1em auto;max-width:50em;padding:0 1em}}"
      "h1{{font-size:1.3em;overflow-wrap:anywhere}}table{{width:100%;border-spacing:0}}"
      "td{{padding:.4em .5em;overflow-wrap:anywhere;border-top:1px solid #8884}}"
      "td+td{{text-align:right;white-space:nowrap;color:GrayText}}"
      "@media(max-width:36em){{tr{{display:block;border-top:1px solid #8884;padding:.3em 0}}"
      "td{{display:block;border:0;padding:.2em 0}}"
      "td+td{{display:inline-block;font-size:.85em;padding-right:1em}}}}"
      "</style></head>\n<body><h1><bdi>{0}</bdi></h1>\n<table>\n",
      html_text(path));
  if (has_parent) page += "<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n";
  return page;
}

std::string listing_row(const ListedFile& file) {
  const char* slash = file.directory ? "/" : "";
  // "./" first: a name like "x:y" must not look like a URL's scheme. <bdi>: marks of writing
  // direction in a name turn nothing around outside it.
  return fmt::format(
      "<tr><td><a href=\"./{0}{1}\"><bdi>{2}</bdi>{1}</a></td><td>{3}</td><td>{4}</td></tr>\n",
      percent_encode(file.name), slash, html_text(file.name),
      file.directory ? std::string() : readable_size(file.size), readable_time(file.modified));
}

std::string listing_end(const Listed& listed) {
  std::string end = "</table>\n";
  if (listed.cut)
    end += fmt::format("<p>There is more: only {} names of this directory are shown.</p>\n",
                       listed.files.size());
  return end += "</body></html>\n";
}

}  // namespace treadle::http::detail
