#include "settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include "config_file.h"
#include "process.h"
#include "setting_names.h"

namespace treadle::apps {

namespace {

// `text` cut at every `mark`, empty pieces left out.
std::vector<std::string_view> split(std::string_view text, char mark) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(mark), text.size());
    if (end > 0) parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

// "address=:8443,tls=true" into the fields of a new table.
Parsed<void> assign_table(const Tables& tables, std::string_view text) {
  tables.add();
  for (const std::string_view part : split(text, ',')) {
    const std::size_t equals = part.find('=');
    const std::string_view name = part.substr(0, equals);
    const auto field =
        std::ranges::find(tables.fields, name, &std::pair<std::string, Value>::first);
    if (equals == std::string_view::npos || field == tables.fields.end()) {
      std::string needs;
      for (const auto& [known, value] : tables.fields)
        needs += fmt::format("{}{}={}", needs.empty() ? "" : ",", known, value.placeholder);
      return std::unexpected(fmt::format("needs {}", needs));
    }
    if (auto r = field->second.assign(part.substr(equals + 1)); !r)
      return std::unexpected(fmt::format("{} {}", name, r.error()));
  }
  return {};
}

}  // namespace

Settings::Settings(std::string_view program, std::string_view about)
    : program_(program), about_(about) {}

void Settings::add(std::string_view key, Value value, std::string_view help) {
  std::string placeholder = value.placeholder;
  flag(key, placeholder, std::move(value), help);
}

void Settings::flag(std::string_view key, std::string_view placeholder, Value value,
                    std::string_view help) {
  Setting s;
  s.key = key;
  s.placeholder = placeholder;
  s.value = std::move(value);
  s.help = help;
  settings_.push_back(std::move(s));
}

void Settings::add(std::string_view key, Tables tables, std::string_view help) {
  Setting s;
  s.key = key;
  s.placeholder = "NAME=VALUE,...";
  s.help = help;
  s.add_table = tables.add;
  s.fields = tables.fields;
  s.value = {.assign = [tables](std::string_view text) { return assign_table(tables, text); },
             .show = [] { return std::string(); },
             .forms = {},
             .needs = fmt::format("needs tables, [[{}]]", key),
             .placeholder = {},
             .reset = tables.reset,
             .clear = tables.clear};
  settings_.push_back(std::move(s));
}

void Settings::rule(std::string_view key, std::string_view other,
                    std::function<Parsed<void>()> check) {
  rules_.push_back({std::string(key), std::string(other), std::move(check)});
}

void Settings::listen_and_procs(std::string& listen, int& procs) {
  add("listen", address_value(listen),
      "where to listen; port 0 takes any free port; \"unix:PATH\" for a Unix socket");
  add("procs", int_value(procs, 0, kMostProcs),
      "goroutines that may run at once; 0: as the CPUs allow");
}

std::optional<int> Settings::parse(int argc, const char* const* argv) {
  if (!open_standard_descriptors()) return kExitFailure;
  std::optional<int> exit_code;
  Parsed<void> result = read_command_line(argc, argv, exit_code);
  if (exit_code) return exit_code;
  if (!result) return refuse(result.error());
  const std::vector<std::string> errors = read_all();
  for (Setting& s : settings_) s.at_start = s.value.show();
  if (check_only_) return report(errors);
  if (errors.empty()) return std::nullopt;
  return refuse(errors.front());
}

Parsed<void> Settings::read_again() {
  for (Setting& s : settings_) {
    s.value.reset();
    s.from_environment = false;
    s.from_file.clear();
    s.line = 0;
  }
  const std::vector<std::string> errors = read_all();
  if (errors.empty()) return {};
  return std::unexpected(errors.front());
}

std::vector<std::string> Settings::changed_keys(std::span<const std::string_view> but_not) const {
  std::vector<std::string> changed;
  for (const Setting& s : settings_) {
    const bool left_out = std::ranges::any_of(
        but_not, [&s](std::string_view prefix) { return s.key.starts_with(prefix); });
    if (!left_out && s.value.show() != s.at_start) changed.push_back(s.key);
  }
  return changed;
}

// The first error of all is the one that is shown: flags are tried first, so that a bad one is
// reported whatever the file says, and applied once more to win.
std::vector<std::string> Settings::read_all() {
  std::vector<std::string> errors;
  apply_flags(errors);
  check_environment(errors);
  if (!config_path_.empty()) apply_file(errors);
  apply_environment(errors);
  std::vector<std::string> known_already;
  apply_flags(known_already);
  if (errors.empty()) check_rules(errors);
  return errors;
}

int Settings::report(const std::vector<std::string>& errors) const {
  for (const std::string& e : errors) refuse(e);
  if (!errors.empty()) return kExitBadUsage;
  fmt::print("configuration is fine\n");
  return 0;
}

int Settings::refuse(std::string_view what) const {
  std::string line = fmt::format("{}: {}", program_, what);
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  fmt::print(stderr, "{}\n", line);
  return kExitBadUsage;
}

int Settings::refuse_value(std::string_view key, std::string_view what) const {
  return refuse(fmt::format("{}: {}", origin(find(key)), what));
}

void Settings::apply_flags(std::vector<std::string>& errors) {
  for (Setting& s : settings_) {
    if (s.from_flags.empty()) continue;
    if (s.value.clear) s.value.clear();
    for (const std::string& text : s.from_flags) {
      const bool whole = !s.value.clear || s.add_table;
      for (const std::string_view part :
           whole ? std::vector<std::string_view>{text} : split(text, ','))
        if (auto r = s.value.assign(part); !r)
          errors.push_back(fmt::format("{}: {}", origin(s), r.error()));
    }
  }
}

void Settings::apply_environment(std::vector<std::string>& errors) {
  for (Setting& s : settings_) {
    const std::string name = variable_name(s.key);
    const char* text = std::getenv(name.c_str());
    if (text == nullptr || *text == '\0') continue;
    s.from_environment = true;
    if (s.value.clear) s.value.clear();
    for (const std::string_view part : !s.value.clear ? std::vector<std::string_view>{text}
                                                      : split(text, s.add_table ? ' ' : ','))
      if (auto r = s.value.assign(part); !r)
        errors.push_back(fmt::format("{} \"{}\": {}", name, text, r.error()));
  }
}

void Settings::apply_file(std::vector<std::string>& errors) {
  auto entries = read_config_file(config_path_);
  if (!entries) {
    errors.push_back(entries.error());
    return;
  }
  for (const ConfigEntry& entry : *entries)
    if (auto r = apply_entry(entry); !r) errors.push_back(r.error());
}

// "file:line: name = value".
std::string Settings::where(const ConfigEntry& entry) const {
  const std::string shown = entry.form == Form::table
                                ? fmt::format("[{}]", entry.key)
                                : fmt::format("{} = {}", entry.key, entry.source);
  return fmt::format("{}:{}: {}", config_path_, entry.line, shown);
}

Parsed<void> Settings::apply_entry(const ConfigEntry& entry) {
  if (Setting* setting = find_or_null(entry.key)) {
    const bool first = setting->from_file.empty();
    setting->line = entry.line;
    setting->from_file = where(entry);
    if (setting->value.clear && first) setting->value.clear();
    if (setting->add_table && entry.form == Form::table) {
      setting->add_table();
      return {};
    }
    if (setting->value.clear && entry.form == Form::none) return {};
    return assign_entry(setting->value, entry);
  }
  // A key of the table that was added last.
  const std::size_t dot = entry.key.rfind('.');
  Setting* tables = dot == std::string::npos ? nullptr : find_or_null(entry.key.substr(0, dot));
  if (tables != nullptr && !tables->fields.empty()) {
    const auto field = std::ranges::find(tables->fields, entry.key.substr(dot + 1),
                                         &std::pair<std::string, Value>::first);
    // [endpoint] is one table, not one of several.
    if (tables->from_file.empty())
      return std::unexpected(
          fmt::format("{}:{}: {}", config_path_, entry.line, tables->value.needs));
    if (field != tables->fields.end()) return assign_entry(field->second, entry);
  }
  const auto in_table = [&entry](const Setting& s) { return s.key.starts_with(entry.key + "."); };
  if (entry.form == Form::table && std::ranges::any_of(settings_, in_table)) return {};
  return std::unexpected(fmt::format("{}:{}: {}", config_path_, entry.line, unknown_name(entry)));
}

Parsed<void> Settings::assign_entry(const Value& value, const ConfigEntry& entry) const {
  Parsed<void> r;
  if (std::ranges::find(value.forms, entry.form) == value.forms.end())
    r = std::unexpected(
        value.needs + (entry.form == Form::text && !value.forms.empty() ? ", without quotes" : ""));
  else if (entry.item > 0 && !value.clear)
    r = std::unexpected("needs one value, not several");
  else
    r = value.assign(entry.value);
  if (r) return r;
  return std::unexpected(fmt::format("{}: {}", where(entry), r.error()));
}

void Settings::check_rules(std::vector<std::string>& errors) const {
  for (const Rule& rule : rules_) {
    auto r = rule.check();
    if (r) continue;
    // Of two lines the later one is named: it is where the values became at odds.
    const Setting& a = find(rule.key);
    const Setting& b = find(rule.other);
    const auto rank = [](const Setting& s) {
      return std::pair(!s.from_flags.empty() ? 2 : s.from_environment ? 1 : 0, s.line);
    };
    const Setting& culprit = rank(b) > rank(a) ? b : a;
    errors.push_back(fmt::format("{}: {}", origin(culprit), r.error()));
  }
}

Settings::Setting* Settings::find_or_null(std::string_view key) {
  auto setting = std::ranges::find(settings_, key, &Setting::key);
  return setting == settings_.end() ? nullptr : &*setting;
}

// One that was added; anything else is a mistake of the program.
const Settings::Setting& Settings::find(std::string_view key) const {
  auto setting = std::ranges::find(settings_, key, &Setting::key);
  if (setting == settings_.end()) throw std::logic_error("no such setting: " + std::string(key));
  return *setting;
}

std::vector<std::string> Settings::all_keys() const {
  std::vector<std::string> keys;
  for (const Setting& s : settings_) {
    keys.push_back(s.key);
    for (const auto& field : s.fields) keys.push_back(s.key + "." + field.first);
  }
  return keys;
}

// Where a value came from, and the value.
std::string Settings::origin(const Setting& s) {
  if (!s.from_flags.empty())
    return fmt::format("--{} \"{}\"", flag_name(s.key), s.from_flags.back());
  if (s.from_environment) {
    const std::string name = variable_name(s.key);
    const char* text = std::getenv(name.c_str());
    return fmt::format("{} \"{}\"", name, text != nullptr ? text : "");
  }
  if (!s.from_file.empty()) return s.from_file;
  return fmt::format("--{} \"{}\", the default", flag_name(s.key), s.value.show());
}

std::string Settings::unknown_name(const ConfigEntry& entry) const {
  if (entry.form == Form::table) return fmt::format("unknown table [{}]", entry.key);
  const std::vector<std::string> keys = all_keys();
  const std::string close = closest_key(entry.key, keys);
  return fmt::format("unknown key \"{}\"{}", entry.key,
                     close.empty() ? "" : fmt::format(", is \"{}\" meant?", close));
}

}  // namespace treadle::apps
