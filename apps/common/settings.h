// Flags and configuration files, alike for every app: a flag wins over the file, the file over the
// default.
//
//   apps::Settings settings("treadle-hello", "The smallest HTTP server.");
//   settings.flag("listen", "ADDR:PORT", apps::address_value(listen), "where to listen");
//   settings.key("server.idle_timeout", apps::duration_value(idle), "...");
//   if (auto code = settings.parse(argc, argv)) return *code;
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "values.h"

namespace treadle::apps {

struct ConfigEntry;

inline constexpr int kExitBadUsage = 2;  // a bad flag or a bad line in the configuration
inline constexpr int kExitFailure = 1;   // all else, a busy port among it
inline constexpr int kMostProcs = 1024;  // as RuntimeOptions has it

// What an app can be told. The variables behind the values must outlive parse().
// Not for goroutines: a TOML parser may need more stack than one has.
class Settings {
 public:
  // `program` begins every error line; `about` is one sentence for --help.
  Settings(std::string_view program, std::string_view about);

  // Adds --name, and the top-level configuration key `name`.
  void flag(std::string_view name, std::string_view value_name, Value value, std::string_view help);
  // Adds a configuration key, dotted below tables: "server.idle_timeout".
  void key(std::string_view name, Value value, std::string_view help);

  // Adds a condition on the values of both names together, checked once all are read. `check` gives
  // the clause to refuse them with.
  void rule(std::string_view name, std::string_view other, std::function<Parsed<void>()> check);

  // Adds --listen and --procs, which every app has; TREADLE_MAXPROCS of the environment counts
  // where --procs is not given.
  void listen_and_procs(std::string& listen, int& procs);

  // Reads the command line and the file that its --config names; before that it sees to it that the
  // standard descriptors are open. To be called before anything opens a descriptor. A number is the
  // exit code to end with at once: 0 after --help or --version, kExitBadUsage after one line on
  // standard error. Any configuration error names file and line. TREADLE_MAXPROCS is checked like a
  // flag, since the runtime would panic over it.
  [[nodiscard]] std::optional<int> parse(int argc, const char* const* argv);

  // Prints "program: what" on standard error as one line, whatever stands in it: a file's name or a
  // flag's value may hold anything. Returns kExitBadUsage.
  int refuse(std::string_view what) const;
  // The same about the value of `name`: says first where it came from, the file's line or the flag.
  int refuse_value(std::string_view name, std::string_view what) const;

 private:
  struct Setting {
    std::string name;
    std::string value_name;  // empty: a key without a flag
    Value value;
    std::string help;
    std::string from_flag;  // as given on the command line
    bool given = false;
    std::string from_file;  // "file:line: name = value"; empty: not in the file
    unsigned line = 0;
  };
  struct Rule {
    std::string name;
    std::string other;
    std::function<Parsed<void>()> check;
  };

  Parsed<void> read_command_line(int argc, const char* const* argv, std::optional<int>& exit_code);
  static Parsed<void> check_environment();
  Parsed<void> apply_flags();
  Parsed<void> apply_file(const std::string& path);
  Parsed<void> apply_entry(const std::string& path, const ConfigEntry& entry);
  Parsed<void> check_rules() const;
  const Setting& find(std::string_view name) const;
  static std::string origin(const Setting& setting);
  std::string unknown_name(const ConfigEntry& entry) const;
  std::string closest_name(std::string_view name) const;
  std::string describe_keys() const;

  std::string program_;
  std::string about_;
  std::vector<Setting> settings_;
  std::vector<Rule> rules_;
  std::string config_path_;
  bool has_config_ = false;
};

}  // namespace treadle::apps
