#include "path_glob.h"

#include <cstddef>
#include <vector>

namespace treadle::http {
namespace {

// Follows all ways through the pattern at once, so that no pattern makes it try again and again:
// at[i] says that the path's bytes so far can be matched by the pattern's first i.
bool matches_whole(std::string_view pattern, std::string_view text) {
  const std::size_t end = pattern.size();
  const auto star = [&](std::size_t i) { return i < end && pattern[i] == '*'; };
  const auto skip_stars = [&](std::vector<bool>& at) {
    for (std::size_t i = 0; i < end; ++i)
      if (at[i] && star(i)) at[i + 1] = true;  // a star may match nothing
  };
  std::vector<bool> at(end + 1);
  std::vector<bool> next(end + 1);
  at[0] = true;
  skip_stars(at);
  for (const char c : text) {
    next.assign(end + 1, false);
    for (std::size_t i = 0; i < end; ++i) {
      if (!at[i]) continue;
      if (star(i)) {
        // Either of two stars side by side takes slashes.
        if (c != '/' || star(i + 1) || (i > 0 && star(i - 1))) next[i] = true;
      } else if (pattern[i] == c || (pattern[i] == '?' && c != '/')) {
        next[i + 1] = true;
      }
    }
    skip_stars(next);
    at.swap(next);
  }
  return at[end];
}

}  // namespace

bool glob_matches(std::string_view pattern, std::string_view path) {
  if (pattern.find('/') == std::string_view::npos)
    return matches_whole(pattern, path.substr(path.rfind('/') + 1));  // npos + 1 is 0
  if (pattern.starts_with('/')) pattern.remove_prefix(1);
  return matches_whole(pattern, path);
}

}  // namespace treadle::http
