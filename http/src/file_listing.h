// The page that lists a directory.
#pragma once

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
  std::uint64_t size = 0;  // bytes; of files
};

// What may be seen in an open directory: regular files and directories, sorted, directories first.
// No dotfiles, and no symbolic links, since telling what they name could look outside the root. At
// most `most` entries.
// Blocks the M under a hint, never the P; does not park.
Result<std::vector<ListedFile>> read_directory(const net::File& directory, std::size_t most);

// The page for a directory at `path` (decoded, shown as the title), in UTF-8. Every name is escaped
// and every link encoded. Pure.
std::string listing_page(std::string_view path, const std::vector<ListedFile>& files,
                         bool has_parent);

// `text` with the characters that mean something in HTML, attribute values included, escaped. Pure.
std::string html_escape(std::string_view text);

}  // namespace treadle::http::detail
