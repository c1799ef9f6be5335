#include "config_file.h"

#include <fmt/core.h>

#include <toml++/toml.h>
#include <cerrno>
#include <cstdio>
#include <map>
#include <memory>
#include <system_error>
#include <utility>

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

// Turns a file's tree into entries.
class Flattener {
 public:
  explicit Flattener(const std::string& path) : path_(path) {}

  // What stands in `table` and the tables below it, their names put before with a dot.
  Parsed<void> add_table(const toml::table& table, const std::string& prefix) {
    for (const auto& [name, node] : table)
      if (auto r = add(node, prefix + std::string(name.str()), 0); !r) return r;
    return {};
  }
  // In the order of the file: a TOML table knows its names in another.
  std::vector<ConfigEntry> take() {
    std::vector<ConfigEntry> all;
    for (auto& [line, entry] : entries_) all.push_back(std::move(entry));
    return all;
  }

 private:
  Parsed<void> add(const toml::node& node, const std::string& key, std::size_t item) {
    const unsigned line = node.source().begin.line;
    auto add_bare = [&](const std::string& value, Form form) {
      keep({key, value, value, form, line, item});
    };
    if (const toml::table* below = node.as_table()) {
      if (below->empty()) add_bare("", Form::table);
      return add_table(*below, key + ".");
    }
    if (const toml::array* array = node.as_array()) return add_array(*array, key);
    if (const auto* text = node.as_string()) {
      keep({key, text->get(), fmt::format("\"{}\"", text->get()), Form::text, line, item});
    } else if (const auto* integer = node.as_integer()) {
      add_bare(std::to_string(integer->get()), Form::integer);
    } else if (const auto* number = node.as_floating_point()) {
      add_bare(fmt::format("{}", number->get()), Form::real);
    } else if (const auto* truth = node.as_boolean()) {
      add_bare(truth->get() ? "true" : "false", Form::boolean);
    } else {
      return error_at(
          path_, line,
          fmt::format("\"{}\" must be text, a number, true or false, or an array", key));
    }
    return {};
  }

  Parsed<void> add_array(const toml::array& array, const std::string& key) {
    if (array.empty()) keep({key, "", "[]", Form::none, array.source().begin.line, 0});
    std::size_t item = 0;
    for (const toml::node& node : array) {
      const unsigned line = node.source().begin.line;
      if (node.is_array())
        return error_at(path_, line, fmt::format("\"{}\" has an array in an array", key));
      if (const toml::table* table = node.as_table()) {
        keep({key, "", "", Form::table, line, item});
        if (auto r = add_table(*table, key + "."); !r) return r;
      } else if (auto r = add(node, key, item); !r) {
        return r;
      }
      ++item;
    }
    return {};
  }

  void keep(ConfigEntry entry) { entries_.emplace(entry.line, std::move(entry)); }

  const std::string& path_;
  std::multimap<unsigned, ConfigEntry> entries_;  // by line; those of one line as they came
};

}  // namespace

Parsed<std::vector<ConfigEntry>> read_config_file(const std::string& path) {
  auto text = read_text(path);
  if (!text) return std::unexpected(text.error());
  try {
    toml::table table = toml::parse(*text, path);
    Flattener flattener(path);
    if (auto r = flattener.add_table(table, ""); !r) return std::unexpected(r.error());
    return flattener.take();
  } catch (const toml::parse_error& e) {
    return error_at(path, e.source().begin.line, e.description());
  }
}

}  // namespace treadle::apps
