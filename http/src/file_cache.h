// What paths below a root name, kept open for a second. No I/O but the closing of descriptors, and
// no clock: the caller says what time it is.
#pragma once

#include <sys/stat.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <treadle/mutex.h>
#include <treadle/net/file.h>
#include <treadle/timer.h>

#include "accept_encoding.h"
#include "file_etag.h"
#include "http_date.h"
#include "random_key_hash.h"

namespace treadle::http::detail {

struct OpenFile {
  net::File file;
  struct stat st{};  // when it was opened
  // What most answers say of it: made once, and true as long as size and time are those of `st`.
  EntityTag strong_tag{0, false};  // as sent in its coding
  HttpDate modified{0};
};
using OpenFilePtr = std::shared_ptr<const OpenFile>;

// What a path names: a file, with its compressed siblings, or a directory. Each is counted by
// itself, so that a long download keeps one descriptor from closing, not four.
struct OpenPath {
  OpenFilePtr plain;
  std::array<OpenFilePtr, 3> encoded;  // those of kSiblings that are there
  std::string_view type;               // these two are the file server's
  std::string_view cache_control;

  std::size_t descriptors() const noexcept;
};
using OpenPathPtr = std::shared_ptr<const OpenPath>;

struct SiblingKind {
  Coding coding;
  std::string_view suffix;
};
// In the order of preference among equals: the smaller first.
inline constexpr std::array<SiblingKind, 3> kSiblings = {
    {{Coding::br, ".br"}, {Coding::zstd, ".zst"}, {Coding::gzip, ".gz"}}};

// A table from paths to what was open there, of bounded size: the least recently used goes first.
//
// An entry serves for kFresh from before its path was opened; then the path is resolved again, as
// if it had not been here. So whatever is renamed, deleted or forbidden shows within that time
// without a second way to find out, and since an older entry is of no use to anybody, sweep() may
// close its descriptors. Paths that name nothing are not kept: that costs clients' requests no more
// than a failing open, and the table would be theirs to fill.
//
// Everything here may be called by any goroutine or thread. A call may park the calling G while
// another holds the same shard, for as long as a look-up takes; nothing is closed under the lock.
class FileCache {
 public:
  static constexpr Duration kFresh = std::chrono::seconds(1);

  // `most` descriptors at a time; 0 keeps nothing.
  explicit FileCache(std::size_t most);

  // Null when there is none, or none that is fresh.
  OpenPathPtr find(std::string_view path, TimePoint now);
  // `opened`: from before the path was resolved. What is newer stays.
  void put(std::string_view path, OpenPathPtr value, TimePoint opened);
  // Drops what is not fresh any more. True when something is left.
  bool sweep(TimePoint now);
  // Drops everything: descriptors have run out elsewhere.
  void clear();

  bool enabled() const noexcept { return most_per_shard_ > 0; }
  std::size_t descriptors();

 private:
  struct Key {
    std::uint64_t hash;
    std::string_view path;  // of the Entry
    bool operator==(const Key&) const = default;
  };
  struct HashOfKey {
    std::size_t operator()(const Key& key) const noexcept {
      return static_cast<std::size_t>(key.hash);
    }
  };
  struct Entry {
    std::uint64_t hash;
    std::string path;
    OpenPathPtr value;
    TimePoint opened;
  };
  using Entries = std::list<Entry>;
  struct alignas(64) Shard {
    Mutex lock;       // guards:
    Entries entries;  // the last used first
    std::unordered_map<Key, Entries::iterator, HashOfKey> index;
    std::size_t descriptors = 0;
  };

  static constexpr std::size_t kShards = 8;

  Shard& shard_of(std::uint64_t hash) noexcept;
  // Moves an entry into `dropped`, whose owner lets it go once the lock is free.
  static void drop_locked(Shard& shard, Entries::iterator entry, Entries& dropped);

  const SipKey key_ = SipKey::random();  // or clients choose paths that meet in one bucket
  std::size_t most_per_shard_ = 0;
  std::vector<Shard> shards_;
};

}  // namespace treadle::http::detail
