// Entity tags of files (RFC 9110 8.8.3). Pure: the caller says what the file is like, and the time.
#pragma once

#include <sys/stat.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "accept_encoding.h"
#include "random_key_hash.h"

namespace treadle::http::detail {

// Nanoseconds since 1970.
std::int64_t modified_ns(const struct stat& st) noexcept;

// A tag as it stands in the field, quotes and W/ included, without allocation.
class EntityTag {
 public:
  EntityTag(std::uint64_t value, bool weak) noexcept;
  std::string_view view() const noexcept { return {text_.data(), size_}; }

 private:
  std::array<char, 20> text_{};
  std::size_t size_ = 0;
};

// Makes the tags of one file server.
//
// A tag is a hash of size, time of modification in nanoseconds, inode and coding. It has to be the
// same after a restart and in every worker, or caches would fetch everything anew; so its key is
// fixed, not drawn at random. Hashed, since an inode's number would help whoever attacks a network
// file system, and is nobody's business. The built-in key is no secret, though: who knows a file's
// size and time can try all inodes until the tag fits. A `secret`, the same on all servers of a
// site, keeps even that from them.
class EntityTagger {
 public:
  explicit EntityTagger(std::string_view secret) noexcept;  // empty: the built-in key

  // The tag of the file `st` as sent in `coding`; `now` in nanoseconds since 1970. Weak while the
  // file has not been left alone for 2 s: clocks of file systems tick in milliseconds, so that a
  // file written twice in a row may keep its size and times, and a strong tag promises that every
  // byte is the same.
  EntityTag tag(const struct stat& st, Coding coding, std::int64_t now) const noexcept;
  // The same for a file that is settled.
  EntityTag strong_tag(const struct stat& st, Coding coding) const noexcept;
  // Whether tag() is strong_tag().
  static bool is_settled(const struct stat& st, std::int64_t now) noexcept;

 private:
  std::uint64_t hash(const struct stat& st, Coding coding) const noexcept;

  SipKey key_;
};

}  // namespace treadle::http::detail
