// The files below a root, opened for requests.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <system_error>

#include <treadle/http/file_server.h>
#include <treadle/net/file.h>
#include <treadle/result.h>

#include "file_cache.h"
#include "file_etag.h"
#include "mime.h"

namespace treadle::http::detail {

// Opens paths below the root, with their compressed siblings, and keeps them open for the next
// requests. Everything here waits for the disk under blocking hints, so that no P is held
// meanwhile, and may park for a moment (see FileCache). No lock is held while the disk is waited
// for: a path on a dead network file system holds up those who ask for it, and nobody else.
class FileStore : public std::enable_shared_from_this<FileStore> {
 public:
  // Panics when `root` cannot be opened.
  FileStore(const std::string& root, const FileServerOptions& options);

  struct Found {
    OpenPathPtr path;
    struct stat st{};          // of path->plain, now
    bool just_opened = false;  // all that `path` knows is from now
  };
  // What `relative` names: a regular file, or a directory; ENOENT for everything else, and the
  // errors of Directory::open_beneath.
  Result<Found> find(const std::string& relative);

  const EntityTagger& tagger() const noexcept { return tagger_; }

 private:
  Result<Found> open(const std::string& relative);
  Result<OpenFilePtr> open_file(const std::string& relative, Coding coding);
  void open_siblings(OpenPath& path, const std::string& relative);
  std::string_view cache_control_of(std::string_view relative) const;
  void keep(const std::string& relative, const OpenPathPtr& path, TimePoint opened);
  void sweep();

  const net::Directory root_;
  const MimeTypes types_;
  const std::string cache_control_;
  const std::vector<CacheControlRule> rules_;
  const bool precompressed_;
  const EntityTagger tagger_;
  FileCache cache_;
  // Whether a sweep is to come. Set by the put that starts the timer, cleared by the sweep before
  // it looks: an entry put after that look starts another.
  std::atomic<bool> sweeping_{false};
};

// Whether a compressed sibling may stand for the original: it is not older. By the second where its
// tool kept no more than that.
bool sibling_is_current(const struct stat& sibling, const struct stat& original) noexcept;

}  // namespace treadle::http::detail
