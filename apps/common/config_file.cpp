#include "config_file.h"

#include <fmt/core.h>

#include <toml++/toml.h>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

namespace treadle::apps {

namespace {

std::unexpected<std::string> error_at(const std::string& path, unsigned line,
                                      std::string_view what) {
  return std::unexpected(fmt::format("{}:{}: {}", path, line, what));
}

struct CloseFile {
  void operator()(std::FILE* f) const noexcept { std::fclose(f); }
};

Parsed<std::string> read_text(const std::string& path) {
  constexpr std::size_t kMost = 1 << 20;
  auto failed = [&path](int error) {
    return std::unexpected(
        fmt::format("cannot read {}: {}", path, std::generic_category().message(error)));
  };
  std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "re"));
  if (int e = errno; !file) return failed(e);
  std::string text(kMost + 1, '\0');
  std::size_t n = std::fread(text.data(), 1, text.size(), file.get());
  if (int e = errno; std::ferror(file.get())) return failed(e);
  if (n > kMost) return std::unexpected(fmt::format("cannot use {}: larger than 1 MiB", path));
  text.resize(n);
  return text;
}

// Adds what stands in `table` and the tables below it, their names put before with a dot.
Parsed<void> flatten(const std::string& path, const toml::table& table, const std::string& prefix,
                     std::vector<ConfigEntry>& entries) {
  for (const auto& [name, node] : table) {
    std::string key = prefix + std::string(name.str());
    unsigned line = node.source().begin.line;
    auto add_bare = [&](const std::string& value, Form form) {
      entries.push_back({key, value, value, form, line});
    };
    if (const toml::table* below = node.as_table()) {
      if (below->empty()) add_bare("", Form::table);
      if (auto r = flatten(path, *below, key + ".", entries); !r) return r;
    } else if (const auto* text = node.as_string()) {
      entries.push_back({key, text->get(), fmt::format("\"{}\"", text->get()), Form::text, line});
    } else if (const auto* integer = node.as_integer()) {
      add_bare(std::to_string(integer->get()), Form::integer);
    } else if (const auto* number = node.as_floating_point()) {
      add_bare(fmt::format("{}", number->get()), Form::real);
    } else if (const auto* truth = node.as_boolean()) {
      add_bare(truth->get() ? "true" : "false", Form::boolean);
    } else {
      return error_at(path, line, fmt::format("\"{}\" must be text, a number, true or false", key));
    }
  }
  return {};
}

}  // namespace

Parsed<std::vector<ConfigEntry>> read_config_file(const std::string& path) {
  auto text = read_text(path);
  if (!text) return std::unexpected(text.error());
  try {
    toml::table table = toml::parse(*text, path);
    std::vector<ConfigEntry> entries;
    if (auto r = flatten(path, table, "", entries); !r) return std::unexpected(r.error());
    std::ranges::sort(entries, {}, &ConfigEntry::line);
    return entries;
  } catch (const toml::parse_error& e) {
    return error_at(path, e.source().begin.line, e.description());
  }
}

}  // namespace treadle::apps
