#include "settings.h"

#include <fmt/core.h>

#include <algorithm>
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "config_file.h"
#include "process.h"

namespace treadle::apps {

namespace {

// Insertions, deletions and replacements between two names.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = std::exchange(row[j + 1], std::min({replaced, row[j] + 1, row[j + 1] + 1}));
    }
  }
  return row.back();
}

}  // namespace

Settings::Settings(std::string_view program, std::string_view about)
    : program_(program), about_(about) {}

void Settings::flag(std::string_view name, std::string_view value_name, Value value,
                    std::string_view help) {
  settings_.push_back({std::string(name), std::string(value_name), std::move(value),
                       std::string(help), std::string(), false, std::string(), 0});
}

void Settings::key(std::string_view name, Value value, std::string_view help) {
  flag(name, "", std::move(value), help);
}

void Settings::rule(std::string_view name, std::string_view other,
                    std::function<Parsed<void>()> check) {
  rules_.push_back({std::string(name), std::string(other), std::move(check)});
}

void Settings::listen_and_procs(std::string& listen, int& procs) {
  flag("listen", "ADDR:PORT", address_value(listen), "where to listen; port 0 takes any free port");
  flag("procs", "N", int_value(procs, 0, kMostProcs),
       "goroutines that may run at once; 0: as the CPUs allow");
}

std::optional<int> Settings::parse(int argc, const char* const* argv) {
  if (!open_standard_descriptors()) return kExitFailure;
  std::optional<int> exit_code;
  Parsed<void> result = read_command_line(argc, argv, exit_code);
  if (exit_code) return exit_code;
  if (result) result = check_environment();
  // Flags are applied twice: first so that a bad one is reported whatever the file says, then to
  // win over the file.
  if (result) result = apply_flags();
  if (result && has_config_) {
    result = apply_file(config_path_);
    if (result) result = apply_flags();
  }
  if (result) result = check_rules();
  if (result) return std::nullopt;
  return refuse(result.error());
}

int Settings::refuse(std::string_view what) const {
  std::string line = fmt::format("{}: {}", program_, what);
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  fmt::print(stderr, "{}\n", line);
  return kExitBadUsage;
}

int Settings::refuse_value(std::string_view name, std::string_view what) const {
  return refuse(fmt::format("{}: {}", origin(find(name)), what));
}

Parsed<void> Settings::read_command_line(int argc, const char* const* argv,
                                         std::optional<int>& exit_code) {
  CLI::App cli(about_, program_);
  std::vector<std::pair<CLI::Option*, Setting*>> options;
  for (Setting& s : settings_) {
    if (s.value_name.empty()) continue;
    std::string shown = s.value.show();
    std::string help = shown.empty() ? s.help : fmt::format("{} [{}]", s.help, shown);
    CLI::Option* option = cli.add_option("--" + s.name, s.from_flag, help);
    options.emplace_back(option->type_name(s.value_name)->take_last(), &s);
  }
  CLI::Option* config =
      cli.add_option("--config", config_path_, "read this TOML file; flags win over it")
          ->type_name("FILE")
          ->take_last();
  cli.set_help_flag("-h,--help", "print this and exit");
  cli.set_version_flag("--version", fmt::format("{} {}", program_, TREADLE_VERSION),
                       "print the version and exit");
  cli.get_formatter()->column_width(24);
  cli.footer(describe_keys());
  cli.allow_extras();
  try {
    cli.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", cli.help());
    exit_code = 0;
    return {};
  } catch (const CLI::CallForVersion&) {
    fmt::print("{} {}\n", program_, TREADLE_VERSION);
    exit_code = 0;
    return {};
  } catch (const CLI::ArgumentMismatch& e) {
    std::string_view what = e.what();
    return std::unexpected(
        fmt::format("{} needs a value (see {} --help)", what.substr(0, what.find(':')), program_));
  } catch (const CLI::ParseError& e) {
    return std::unexpected(fmt::format("{} (see {} --help)", e.what(), program_));
  }
  if (auto extras = cli.remaining(); !extras.empty())
    return std::unexpected(
        fmt::format("unknown argument \"{}\" (see {} --help)", extras.front(), program_));
  for (auto [option, setting] : options) setting->given = option->count() > 0;
  has_config_ = config->count() > 0;
  return {};
}

Parsed<void> Settings::check_environment() {
  const char* text = std::getenv("TREADLE_MAXPROCS");
  if (!text || !*text) return {};
  if (auto procs = parse_int(text, 1, kMostProcs); !procs)
    return std::unexpected(fmt::format("TREADLE_MAXPROCS \"{}\": {}", text, procs.error()));
  return {};
}

Parsed<void> Settings::apply_flags() {
  for (Setting& s : settings_) {
    if (!s.given) continue;
    if (auto r = s.value.assign(s.from_flag); !r)
      return std::unexpected(fmt::format("{}: {}", origin(s), r.error()));
  }
  return {};
}

Parsed<void> Settings::apply_file(const std::string& path) {
  auto entries = read_config_file(path);
  if (!entries) return std::unexpected(entries.error());
  for (const ConfigEntry& entry : *entries)
    if (auto r = apply_entry(path, entry); !r) return r;
  return {};
}

Parsed<void> Settings::apply_entry(const std::string& path, const ConfigEntry& entry) {
  auto setting = std::ranges::find(settings_, entry.key, &Setting::name);
  if (setting == settings_.end()) {
    auto in_table = [&entry](const Setting& s) { return s.name.starts_with(entry.key + "."); };
    if (entry.form == Form::table && std::ranges::any_of(settings_, in_table)) return {};
    return std::unexpected(fmt::format("{}:{}: {}", path, entry.line, unknown_name(entry)));
  }
  setting->line = entry.line;
  setting->from_file =
      entry.form == Form::table
          ? fmt::format("{}:{}: [{}]", path, entry.line, entry.key)
          : fmt::format("{}:{}: {} = {}", path, entry.line, entry.key, entry.source);
  const Value& value = setting->value;
  Parsed<void> r;
  if (std::ranges::find(value.forms, entry.form) != value.forms.end())
    r = value.assign(entry.value);
  else
    r = std::unexpected(value.needs + (entry.form == Form::text ? ", without quotes" : ""));
  if (!r) return std::unexpected(fmt::format("{}: {}", setting->from_file, r.error()));
  return {};
}

Parsed<void> Settings::check_rules() const {
  for (const Rule& rule : rules_) {
    auto r = rule.check();
    if (r) continue;
    // Of two lines the later one is named: it is where the values became at odds.
    const Setting& a = find(rule.name);
    const Setting& b = find(rule.other);
    const Setting& culprit = b.given || (!a.given && b.line > a.line) ? b : a;
    return std::unexpected(fmt::format("{}: {}", origin(culprit), r.error()));
  }
  return {};
}

// One that was added; anything else is a mistake of the program.
const Settings::Setting& Settings::find(std::string_view name) const {
  auto setting = std::ranges::find(settings_, name, &Setting::name);
  if (setting == settings_.end()) throw std::logic_error("no such setting: " + std::string(name));
  return *setting;
}

// Where a value came from, and the value.
std::string Settings::origin(const Setting& s) {
  if (s.given) return fmt::format("--{} \"{}\"", s.name, s.from_flag);
  if (!s.from_file.empty()) return s.from_file;
  return fmt::format("{}{} \"{}\", the default", s.value_name.empty() ? "" : "--", s.name,
                     s.value.show());
}

std::string Settings::unknown_name(const ConfigEntry& entry) const {
  if (entry.form == Form::table) return fmt::format("unknown table [{}]", entry.key);
  std::string close = closest_name(entry.key);
  return fmt::format("unknown key \"{}\"{}", entry.key,
                     close.empty() ? "" : fmt::format(", is \"{}\" meant?", close));
}

// The known name that a misspelt one most likely meant; empty when none is near.
std::string Settings::closest_name(std::string_view name) const {
  std::string best;
  std::size_t best_distance = 3;
  for (const Setting& s : settings_) {
    // A key may also stand in the wrong table, or in none.
    std::size_t dot = s.name.rfind('.');
    std::string_view last =
        dot == std::string::npos ? s.name : std::string_view(s.name).substr(dot + 1);
    std::string_view given = name.substr(name.rfind('.') + 1);
    std::size_t distance = std::min(edit_distance(name, s.name), edit_distance(given, last) + 1);
    if (distance < best_distance) {
      best_distance = distance;
      best = s.name;
    }
  }
  return best;
}

std::string Settings::describe_keys() const {
  std::string text = "Keys of the configuration file, with their defaults:\n";
  for (const Setting& s : settings_)
    text += fmt::format("  {:<32} {} [{}]\n", s.name, s.help, s.value.show());
  return text;
}

}  // namespace treadle::apps
