// Flags, the environment and configuration files, alike for every app: a flag wins over the
// environment, that over the file, the file over the default. setting_names.h has the spellings.
//
//   apps::Settings settings("treadle-hello", "The smallest HTTP server.");
//   settings.add("listen", apps::address_value(listen), "where to listen");
//   settings.add("server.idle_timeout", apps::duration_value(idle), "...");
//   if (auto code = settings.parse(argc, argv)) return *code;
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "values.h"

namespace treadle::apps {

struct ConfigEntry;

inline constexpr int kExitBadUsage = 2;  // a bad flag or a bad line in the configuration
inline constexpr int kExitFailure = 1;   // all else, a busy port among it
inline constexpr int kMostProcs = 1024;  // as RuntimeOptions has it

// Any number of tables: [[endpoint]] in a file, `--endpoint address=:8443,tls=true` once for each,
// the same with blanks between them in the environment.
struct Tables {
  std::function<void()> add;    // one more, as it is by default
  std::function<void()> clear;  // none
  std::function<void()> reset;  // those there were when this was made
  // What the last one holds. Their show() and reset() are not used.
  std::vector<std::pair<std::string, Value>> fields;
};

// What an app can be told. The variables behind the values must outlive it.
// Not for goroutines: a TOML parser may need more stack than one has.
class Settings {
 public:
  // `program` begins every error line; `about` is one sentence for --help.
  Settings(std::string_view program, std::string_view about);

  // Adds a setting, by its configuration key, dotted below tables. An empty variable of the
  // environment counts as none.
  void add(std::string_view key, Value value, std::string_view help);
  void add(std::string_view key, Tables tables, std::string_view help);
  // The same, under a placeholder of its own for --help.
  void flag(std::string_view key, std::string_view placeholder, Value value, std::string_view help);
  void key(std::string_view name, Value value, std::string_view help) {
    add(name, std::move(value), help);
  }

  // Adds a condition on the values of both keys together, checked once all are read; they may be
  // the same. `check` gives the clause to refuse them with.
  void rule(std::string_view key, std::string_view other, std::function<Parsed<void>()> check);
  void rule(std::string_view key, std::function<Parsed<void>()> check) {
    rule(key, key, std::move(check));
  }

  // Adds "listen" and "procs", which every app has; TREADLE_MAXPROCS of the environment counts
  // where procs is 0.
  void listen_and_procs(std::string& listen, int& procs);

  // Reads the command line, the environment, and the file that --config names; before that it sees
  // to it that the standard descriptors are open. To be called before anything opens a descriptor.
  // A number is the exit code to end with at once: 0 after --help or --version; kExitBadUsage after
  // one line on standard error. Any configuration error names file and line.
  //   With --check-config it ends in any case: with 0 and "configuration is fine", or with
  // kExitBadUsage and a line for each error.
  //   TREADLE_MAXPROCS is checked like a flag, since the runtime would panic over it. A variable
  // TREADLE_... that is none of ours is an error only where it looks like a misspelt one.
  [[nodiscard]] std::optional<int> parse(int argc, const char* const* argv);

  // Reads everything again, into the same variables, from the defaults on. The error is a line
  // without the program's name; the variables are then worth nothing until this succeeds.
  Parsed<void> read_again();
  // The keys whose values have changed by that since parse(), of those that begin with none of the
  // prefixes.
  std::vector<std::string> changed_keys(std::span<const std::string_view> but_not) const;

  // Prints "program: what" on standard error as one line, whatever stands in it: a file's name or a
  // flag's value may hold anything. Returns kExitBadUsage.
  int refuse(std::string_view what) const;
  // The same about the value of `key`: says first where it came from, the file's line or the flag.
  int refuse_value(std::string_view key, std::string_view what) const;

 private:
  struct Setting {
    std::string key;
    std::string placeholder;
    Value value;  // of tables: assign() takes one as flags write it
    std::string help;
    std::function<void()> add_table;  // of tables, as is the next
    std::vector<std::pair<std::string, Value>> fields;
    std::vector<std::string> from_flags;  // as given on the command line
    bool from_environment = false;
    std::string from_file;  // "file:line: name = value"; empty: not in the file
    unsigned line = 0;
    std::string at_start;  // what it was after parse()
  };
  struct Rule {
    std::string key;
    std::string other;
    std::function<Parsed<void>()> check;
  };

  Parsed<void> read_command_line(int argc, const char* const* argv, std::optional<int>& exit_code);
  std::vector<std::string> read_all();
  void check_environment(std::vector<std::string>& errors) const;
  void apply_environment(std::vector<std::string>& errors);
  void apply_flags(std::vector<std::string>& errors);
  void apply_file(std::vector<std::string>& errors);
  Parsed<void> apply_entry(const ConfigEntry& entry);
  std::string where(const ConfigEntry& entry) const;
  Parsed<void> assign_entry(const Value& value, const ConfigEntry& entry) const;
  void check_rules(std::vector<std::string>& errors) const;
  int report(const std::vector<std::string>& errors) const;
  Setting* find_or_null(std::string_view key);
  const Setting& find(std::string_view key) const;
  std::vector<std::string> all_keys() const;
  static std::string origin(const Setting& setting);
  std::string unknown_name(const ConfigEntry& entry) const;

  std::string program_;
  std::string about_;
  std::vector<Setting> settings_;
  std::vector<Rule> rules_;
  std::string config_path_;
  bool check_only_ = false;
};

}  // namespace treadle::apps
