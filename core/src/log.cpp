// The log, on spdlog's standard error sink.
#include <treadle/log.h>

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <atomic>
#include <memory>
#include <string>

namespace treadle::log {
namespace {

std::atomic<Level> threshold{Level::info};

spdlog::level::level_enum native(Level level) noexcept {
  switch (level) {
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warn: return spdlog::level::warn;
    case Level::error: return spdlog::level::err;
    case Level::off: break;
  }
  return spdlog::level::off;
}

// Never destroyed: goroutines and threads may log until the process is gone.
spdlog::logger& logger() {
  static spdlog::logger& instance = [&]() -> spdlog::logger& {
    auto* made = new spdlog::logger("treadle", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
    made->set_level(spdlog::level::trace);  // `threshold` decides
    return *made;
  }();
  return instance;
}

// Control characters end a line (LF), or move the cursor and recolour a terminal (ESC, and the C1
// set, which UTF-8 writes as C2 80 to C2 9F).
bool is_c1(std::string_view text, std::size_t i) noexcept {
  if (static_cast<unsigned char>(text[i]) != 0xC2 || i + 1 == text.size()) return false;
  const auto next = static_cast<unsigned char>(text[i + 1]);
  return next >= 0x80 && next <= 0x9F;
}

bool is_control(char c) noexcept {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7F;
}

bool is_clean(std::string_view text) noexcept {
  for (std::size_t i = 0; i < text.size(); ++i)
    if (is_control(text[i]) || is_c1(text, i)) return false;
  return true;
}

std::string escaped(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  out.reserve(text.size() + 16);
  auto put = [&](char c) {
    const auto byte = static_cast<unsigned char>(c);
    out += "\\x";
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (is_c1(text, i)) {
      put(text[i]);
      put(text[++i]);
    } else if (is_control(text[i])) {
      put(text[i]);
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

void set_level(Level level) noexcept { threshold.store(level, std::memory_order_relaxed); }

bool enabled(Level level) noexcept {
  return level != Level::off && level >= threshold.load(std::memory_order_relaxed);
}

void write(Level level, std::string_view text) {
  if (!enabled(level)) return;
  // A server must not end because a line could not be written: out of memory, a broken stderr.
  try {
    if (is_clean(text)) {
      logger().log(native(level), spdlog::string_view_t(text.data(), text.size()));
    } else {
      const std::string safe = escaped(text);
      logger().log(native(level), spdlog::string_view_t(safe.data(), safe.size()));
    }
  } catch (...) {
  }
}

}  // namespace treadle::log
