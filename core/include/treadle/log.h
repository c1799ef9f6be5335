// The log of treadle itself and of the samples: leveled lines to standard error unless redirected.
#pragma once

#include <fmt/core.h>

#include <string_view>

namespace treadle::log {

enum class Level { debug, info, warn, error, off };

// Lines below `level` are dropped; info at first. Never parks; any thread.
void set_level(Level level) noexcept;
bool enabled(Level level) noexcept;

// Writes one line with time and level. `text` must be one line; control characters in it are
// escaped, so that what a client sends cannot forge lines. Never parks, but may block the M on a
// slow standard error; any thread.
void write(Level level, std::string_view text);

template <class... Args>
void print(Level level, fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(level)) write(level, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  print(Level::debug, format, std::forward<Args>(args)...);
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  print(Level::info, format, std::forward<Args>(args)...);
}
template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  print(Level::warn, format, std::forward<Args>(args)...);
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  print(Level::error, format, std::forward<Args>(args)...);
}

}  // namespace treadle::log
