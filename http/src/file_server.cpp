#include <treadle/http/file_server.h>

#include <sys/stat.h>

#include <treadle/http/request.h>
#include <treadle/http/response.h>
#include <treadle/http/status.h>
#include <treadle/log.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "date_cache.h"
#include "file_content.h"
#include "file_etag.h"
#include "file_listing.h"
#include "file_store.h"
#include "request_state.h"

namespace treadle::http {
namespace {

using detail::FileStore;

class FileServer {
 public:
  FileServer(const std::string& root, const FileServerOptions& options)
      : index_(options.index),
        listing_(options.listing),
        max_listed_(options.max_listed),
        store_(std::make_shared<FileStore>(root, options)) {}

  void serve(Response& res, const Request& req) const;

 private:
  void serve_directory(Response& res, const Request& req, const FileStore::Found& directory,
                       std::string relative) const;
  void serve_listing(Response& res, const Request& req, const net::File& directory,
                     bool below) const;

  const std::string index_;
  const bool listing_;
  const std::size_t max_listed_;
  const std::shared_ptr<FileStore> store_;
};

std::span<const std::string_view> segments_below_root(const Request& req) {
  const detail::RequestState& state = req.state();
  const std::span<const std::string_view> all = state.path.segments();
  const std::size_t from = state.match().rest_from;
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

// RFC 9110 9.3.7 and 15.5.6.
void answer_other_method(Response& res, const Request& req) {
  if (req.method() == "OPTIONS")
    res.status(status::kNoContent);
  else
    res.send_error(status::kMethodNotAllowed);
  res.header("Allow", "GET, HEAD");
}

bool names_nothing(std::error_code e) noexcept {
  // By condition, not by code: codes of the system compare unequal to generic ones.
  constexpr std::errc kNothing[] = {std::errc::no_such_file_or_directory,
                                    std::errc::not_a_directory,
                                    std::errc::cross_device_link,
                                    std::errc::too_many_symbolic_link_levels,
                                    std::errc::filename_too_long,
                                    std::errc::no_such_device_or_address,
                                    std::errc::no_such_device};
  return std::ranges::any_of(kNothing, [&e](std::errc condition) { return e == condition; });
}

// True once a second: a disk that fails, fails for everybody.
bool may_log() noexcept {
  static constinit std::atomic<std::int64_t> last{0};
  const std::int64_t now = detail::wall_seconds();
  std::int64_t before = last.load(std::memory_order_relaxed);
  return before != now && last.compare_exchange_strong(before, now, std::memory_order_relaxed);
}

void fail_open(Response& res, const Request& req, std::error_code e) {
  if (names_nothing(e)) {
    res.send_error(status::kNotFound);
  } else if (e == std::errc::permission_denied) {
    res.send_error(status::kForbidden);
  } else {
    if (may_log())
      log::warn("http: {} {} {}: file not opened: {}", req.remote_address().to_string(),
                req.method(), req.target().substr(0, detail::kLoggedTarget), e.message());
    res.send_error(status::kServiceUnavailable);
  }
}

void FileServer::serve(Response& res, const Request& req) const {
  if (req.method() != "GET" && req.method() != "HEAD") return answer_other_method(res, req);
  std::optional<std::string> relative = relative_path(req);
  if (!relative) {
    res.send_error(status::kNotFound);
    return;
  }
  Result<FileStore::Found> found = store_->find(*relative);
  if (!found) return fail_open(res, req, found.error());
  if (S_ISDIR(found->st.st_mode)) return serve_directory(res, req, *found, std::move(*relative));
  // "/file.txt/" names something in a directory that is none.
  if (req.state().path.trailing_slash()) {
    res.send_error(status::kNotFound);
    return;
  }
  detail::send_found_file(res, req, std::move(*found), store_->tagger());
}

void FileServer::serve_directory(Response& res, const Request& req,
                                 const FileStore::Found& directory, std::string relative) const {
  if (!req.state().path.trailing_slash()) {
    std::string location = clean_path(req.raw_path());
    location.push_back('/');
    if (!req.raw_query().empty()) location.append("?").append(req.raw_query());
    res.redirect(location, status::kMovedPermanently);
    return;
  }
  const bool below = !relative.empty();
  if (!index_.empty()) {
    if (below) relative.push_back('/');
    relative.append(index_);
    Result<FileStore::Found> index = store_->find(relative);
    if (index && S_ISREG(index->st.st_mode))
      return detail::send_found_file(res, req, std::move(*index), store_->tagger());
    // An index that may not be read is not the same as none.
    if (!index && !names_nothing(index.error())) return fail_open(res, req, index.error());
  }
  if (!listing_) {
    res.send_error(status::kNotFound);
    return;
  }
  serve_listing(res, req, directory.path->plain->file, below);
}

void FileServer::serve_listing(Response& res, const Request& req, const net::File& directory,
                               bool below) const {
  const auto listed = detail::read_directory(directory, max_listed_);
  if (!listed) return fail_open(res, req, listed.error());
  res.content_type("text/html; charset=utf-8")
      .header("X-Content-Type-Options", "nosniff")
      .header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");
  // Row by row, so that the page of a large directory never stands in memory whole.
  res.write(detail::listing_head(req.path(), below));
  for (const detail::ListedFile& file : listed->files)
    if (!res.write(detail::listing_row(file))) return;
  res.write(detail::listing_end(*listed));
}

}  // namespace

Handler file_server(const std::string& root, const FileServerOptions& options) {
  return [server = std::make_shared<const FileServer>(root, options)](
             Response& res, const Request& req) { server->serve(res, req); };
}

}  // namespace treadle::http
