// File names as clients send them, made harmless.
#pragma once

#include <string>
#include <string_view>

namespace treadle::http {

// A name to show, and to use for a file in a directory that is ours: the last component of what may
// be a path, of either kind of slash; valid UTF-8 of at most 200 bytes; without control characters,
// without those that change the direction of text, without any of  / \ : * ? " < > |  (each
// becomes '_'), without dots and spaces at either end. "file" where nothing is left. Two files may
// well have one name.
std::string display_name(std::string_view sent);

}  // namespace treadle::http
