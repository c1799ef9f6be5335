#include <treadle/http/file_server.h>

#include <fmt/format.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <treadle/http/request.h>
#include <treadle/http/response.h>
#include <treadle/http/status.h>
#include <treadle/log.h>
#include <treadle/net/file.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "conditional.h"
#include "date_cache.h"
#include "file_listing.h"
#include "http_date.h"
#include "mime.h"
#include "range.h"
#include "request_state.h"

namespace treadle::http {
namespace {

// A file's tag changes at once where its times do; those tick in milliseconds, so that a file
// written twice in a row may keep them. Until it has been left alone for this long its tag is weak.
constexpr std::int64_t kSettled = 2;

constexpr std::size_t kMaxListed = 10'000;

struct OpenFile {
  net::File file;
  struct stat st{};
};

// splitmix64's finaliser: every bit of the input reaches every bit of the result.
std::uint64_t mix(std::uint64_t x) noexcept {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

std::string etag_of(const struct stat& st, std::int64_t now) {
  std::uint64_t h = mix(static_cast<std::uint64_t>(st.st_size) + 1);
  h = mix(h ^ static_cast<std::uint64_t>(st.st_mtim.tv_sec));
  h = mix(h ^ static_cast<std::uint64_t>(st.st_mtim.tv_nsec));
  h = mix(h ^ st.st_ino);
  return fmt::format("{}\"{:016x}\"", now - st.st_mtim.tv_sec < kSettled ? "W/" : "", h);
}

std::string random_boundary() {
  std::uint64_t r[2] = {};
  // Sixteen bytes come whole or not at all; only a kernel without entropy at boot refuses them.
  if (::getrandom(r, sizeof r, 0) != static_cast<ssize_t>(sizeof r))
    r[0] = static_cast<std::uint64_t>(Clock::now().time_since_epoch().count());
  return fmt::format("{:016x}{:016x}", r[0], r[1]);
}

class FileServer {
 public:
  FileServer(const std::string& root, FileServerOptions options)
      : root_(open_root(root)), options_(std::move(options)) {}

  void serve(Response& res, const Request& req) const;

 private:
  static net::Directory open_root(const std::string& root) {
    auto directory = net::Directory::open(root);
    if (!directory)
      throw Panic(fmt::format("http: file_server: {}: {}", root, directory.error().message()));
    return std::move(*directory);
  }

  Result<OpenFile> open(const std::string& relative) const;
  void serve_directory(Response& res, const Request& req, const OpenFile& directory,
                       std::string relative) const;
  void serve_file(Response& res, const Request& req, const OpenFile& open,
                  std::string_view name) const;
  void send_content(Response& res, const Request& req, const OpenFile& open, std::string_view type,
                    const Validators& validators, std::int64_t now) const;
  static void send_ranges(Response& res, const OpenFile& open, std::string_view type,
                          std::span<const ByteRange> ranges);
  static void fail_open(Response& res, const Request& req, std::error_code e);

  net::Directory root_;
  FileServerOptions options_;
};

std::span<const std::string_view> segments_below_root(const Request& req) {
  const detail::RequestState& state = req.state();
  const std::span<const std::string_view> all = state.path.segments();
  const std::size_t from = state.match.rest_from;
  if (from == RouteMatch::kNoRest) return all;
  return all.subspan(std::min(from, all.size()));
}

// The path below the root; nothing for names that are not served: dotfiles, and names with a slash
// or NUL in them, which no file has. What is left could not leave the root even if the Directory
// let it.
std::optional<std::string> relative_path(const Request& req) {
  std::string path;
  for (const std::string_view segment : segments_below_root(req)) {
    if (segment.empty() || segment.front() == '.') return {};
    if (segment.find('/') != std::string_view::npos || segment.find('\0') != std::string_view::npos)
      return {};
    if (!path.empty()) path.push_back('/');
    path.append(segment);
  }
  return path;
}

Result<OpenFile> FileServer::open(const std::string& relative) const {
  Result<net::File> file = root_.open_beneath(relative);
  if (!file) return fail(file.error());
  Result<struct stat> st = file->stat();
  if (!st) return fail(st.error());
  return OpenFile{std::move(*file), *st};
}

void FileServer::serve(Response& res, const Request& req) const {
  if (req.method() != "GET" && req.method() != "HEAD") {
    res.send_error(status::kMethodNotAllowed);
    res.header("Allow", "GET, HEAD");
    return;
  }
  std::optional<std::string> relative = relative_path(req);
  if (!relative) {
    res.send_error(status::kNotFound);
    return;
  }
  const Result<OpenFile> open = this->open(*relative);
  if (!open) return fail_open(res, req, open.error());
  if (S_ISDIR(open->st.st_mode)) return serve_directory(res, req, *open, std::move(*relative));
  // "/file.txt/" names something in a directory that is none; devices and the like are not served.
  if (!S_ISREG(open->st.st_mode) || req.state().path.trailing_slash()) {
    res.send_error(status::kNotFound);
    return;
  }
  serve_file(res, req, *open, *relative);
}

void FileServer::fail_open(Response& res, const Request& req, std::error_code e) {
  // By condition, not by code: codes of the system compare unequal to generic ones.
  const auto is = [&e](std::errc condition) { return e == condition; };
  if (is(std::errc::permission_denied)) {
    res.send_error(status::kForbidden);
  } else if (is(std::errc::no_such_file_or_directory) || is(std::errc::not_a_directory) ||
             is(std::errc::cross_device_link) || is(std::errc::too_many_symbolic_link_levels) ||
             is(std::errc::filename_too_long) || is(std::errc::no_such_device_or_address)) {
    res.send_error(status::kNotFound);
  } else {
    log::warn("http: {} {} {}: file not opened: {}", req.remote_address().to_string(), req.method(),
              req.target().substr(0, detail::kLoggedTarget), e.message());
    res.send_error(status::kServiceUnavailable);
  }
}

void FileServer::serve_directory(Response& res, const Request& req, const OpenFile& directory,
                                 std::string relative) const {
  if (!req.state().path.trailing_slash()) {
    std::string location = clean_path(req.raw_path());
    location.push_back('/');
    if (!req.raw_query().empty()) location.append("?").append(req.raw_query());
    res.redirect(location, status::kMovedPermanently);
    return;
  }
  const bool below = !relative.empty();
  if (!options_.index.empty()) {
    if (below) relative.push_back('/');
    relative.append(options_.index);
    const Result<OpenFile> index = open(relative);
    if (index && S_ISREG(index->st.st_mode)) return serve_file(res, req, *index, relative);
  }
  if (!options_.listing) {
    res.send_error(status::kNotFound);
    return;
  }
  const auto files = detail::read_directory(directory.file, kMaxListed);
  if (!files) return fail_open(res, req, files.error());
  res.content_type("text/html; charset=utf-8")
      .header("X-Content-Type-Options", "nosniff")
      .header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");
  res.write(detail::listing_page(req.path(), *files, below));
}

void FileServer::serve_file(Response& res, const Request& req, const OpenFile& open,
                            std::string_view name) const {
  const std::int64_t now = detail::wall_seconds();
  const std::string etag = etag_of(open.st, now);
  // RFC 9110 8.8.2.1: never later than the message itself.
  const std::int64_t modified = std::min<std::int64_t>(open.st.st_mtim.tv_sec, now);
  const Validators validators{.exists = true, .etag = etag, .last_modified = modified};

  const Precondition precondition =
      evaluate_preconditions(req.method(), req.headers(), validators, now);
  if (precondition == Precondition::failed) {
    res.send_error(status::kPreconditionFailed);
    return;
  }
  res.header("ETag", etag).header("Last-Modified", HttpDate(modified).view());
  if (!options_.cache_control.empty()) res.header("Cache-Control", options_.cache_control);
  if (precondition == Precondition::not_modified) {
    res.status(status::kNotModified);
    return;
  }
  res.header("Accept-Ranges", "bytes").header("X-Content-Type-Options", "nosniff");
  send_content(res, req, open, mime_type(name), validators, now);
}

void FileServer::send_content(Response& res, const Request& req, const OpenFile& open,
                              std::string_view type, const Validators& validators,
                              std::int64_t now) const {
  const auto size = static_cast<std::uint64_t>(open.st.st_size);
  const HeaderView headers = req.headers();
  RangeSet set;
  if (req.method() == "GET" && headers.count("Range") == 1 &&
      if_range_holds(headers, validators, now))
    set = parse_range(headers.get("Range"), size);

  switch (set.outcome()) {
    case RangeOutcome::unsatisfiable:
      res.send_error(status::kRangeNotSatisfiable);
      res.header("Content-Range", unsatisfied_content_range(size));
      return;
    case RangeOutcome::partial: return send_ranges(res, open, type, set.ranges());
    case RangeOutcome::whole: break;
  }
  res.content_type(type).content_length(size);
  res.send_file(open.file, 0, size);
}

void FileServer::send_ranges(Response& res, const OpenFile& open, std::string_view type,
                             std::span<const ByteRange> ranges) {
  const auto size = static_cast<std::uint64_t>(open.st.st_size);
  res.status(status::kPartialContent);
  if (ranges.size() == 1) {
    res.content_type(type).header("Content-Range", content_range(ranges[0], size));
    res.content_length(ranges[0].length);
    res.send_file(open.file, ranges[0].first, ranges[0].length);
    return;
  }
  const std::string boundary = random_boundary();
  res.content_type("multipart/byteranges; boundary=" + boundary);
  res.content_length(multipart_length(boundary, type, ranges, size));
  for (const ByteRange& range : ranges) {
    if (!res.write(multipart_part_head(boundary, type, range, size))) return;
    if (!res.send_file(open.file, range.first, range.length)) return;
  }
  res.write(multipart_end(boundary));
}

}  // namespace

Handler file_server(const std::string& root, FileServerOptions options) {
  return [server = std::make_shared<const FileServer>(root, std::move(options))](
             Response& res, const Request& req) { server->serve(res, req); };
}

}  // namespace treadle::http
