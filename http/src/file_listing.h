// The page that lists a directory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <treadle/net/file.h>
#include <treadle/result.h>

namespace treadle::http::detail {

struct ListedFile {
  std::string name;
  bool directory = false;
  std::uint64_t size = 0;     // bytes; of files
  std::int64_t modified = 0;  // seconds since 1970
};

struct Listed {
  std::vector<ListedFile> files;  // in the order of listed_before()
  bool cut = false;               // there is more
};

// What may be seen in an open directory: regular files and directories. No dotfiles, and no
// symbolic links, since telling what they name could look outside the root. Of a directory with
// more than `most` entries those that the file system names first: a directory of millions must not
// be read to its end at every request.
// Blocks the M under a hint, never the P; does not park.
Result<Listed> read_directory(const net::File& directory, std::size_t most);

// Directories first; then by name, where runs of digits count by their value: a2 before a10. Other
// bytes go by their value.
bool listed_before(const ListedFile& a, const ListedFile& b) noexcept;

// The page for a directory at `path` (decoded, shown as the title), in UTF-8, in pieces: head, a
// row for each file, end. Every name is escaped and every link encoded. Pure.
std::string listing_head(std::string_view path, bool has_parent);
std::string listing_row(const ListedFile& file);
std::string listing_end(const Listed& listed);

// `name` as it can stand in a page: what means something in HTML is escaped, attribute values
// included; control characters and what is not UTF-8 become U+FFFD. Pure.
std::string html_text(std::string_view name);

}  // namespace treadle::http::detail
