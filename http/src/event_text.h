// Server-sent events as text. Pure.
#pragma once

#include <string>
#include <string_view>

#include <treadle/http/sse.h>

namespace treadle::http {

// Appends the lines of an event and the empty one that ends it. Panics as EventStream::send().
void append_event(std::string& out, const Event& event);

// Appends `text` as a comment, each of its lines one, and an empty line.
void append_comment(std::string& out, std::string_view text);

}  // namespace treadle::http
