// Settings: what the process is started with, the command line and the environment's names.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <CLI/CLI.hpp>
#include <cstdlib>
#include <utility>

#include "setting_names.h"
#include "settings.h"

extern char** environ;

namespace treadle::apps {

namespace {

constexpr std::string_view kPrefix = "TREADLE_";

// What the runtime and the service layer know.
constexpr std::array<std::string_view, 5> kOthers = {"TREADLE_MAXPROCS", "TREADLE_PREEMPT",
                                                     "TREADLE_KERNEL_SLICE", "TREADLE_SCHED_SEED",
                                                     "TREADLE_HANDOVER"};

constexpr std::string_view kFooter =
    "Each flag has a key in the configuration file and a variable in the environment:\n"
    "  listen                 --listen          TREADLE_LISTEN\n"
    "  server.header_timeout  --header-timeout  TREADLE_SERVER_HEADER_TIMEOUT\n"
    "  tls.client_auth        --tls-client-auth TREADLE_TLS_CLIENT_AUTH\n"
    "Flags win over the environment, that over the file. Commas separate the items of a list.";

}  // namespace

Parsed<void> Settings::read_command_line(int argc, const char* const* argv,
                                         std::optional<int>& exit_code) {
  CLI::App cli(about_, program_);
  for (Setting& s : settings_) {
    std::string shown = s.value.show();
    std::string help = shown.empty() ? s.help : fmt::format("{} [{}]", s.help, shown);
    const auto keep = [&s](const CLI::results_t& given) {
      s.from_flags = given;
      return true;
    };
    cli.add_option("--" + flag_name(s.key), keep, help)
        ->type_name(s.placeholder)
        ->expected(1)
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }
  cli.add_option("--config", config_path_, "read this TOML file")->type_name("FILE")->take_last();
  cli.add_flag("--check-config", check_only_, "check all of this, say what is wrong, and exit");
  cli.set_help_flag("-h,--help", "print this and exit");
  cli.set_version_flag("--version", fmt::format("{} {}", program_, TREADLE_VERSION),
                       "print the version and exit");
  cli.get_formatter()->column_width(36);
  cli.footer(std::string(kFooter));
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
  // Of what is no list the last one counts.
  for (Setting& s : settings_)
    if (!s.value.clear && s.from_flags.size() > 1)
      s.from_flags.erase(s.from_flags.begin(), s.from_flags.end() - 1);
  return {};
}

void Settings::check_environment(std::vector<std::string>& errors) const {
  const char* procs = std::getenv("TREADLE_MAXPROCS");
  if (procs != nullptr && *procs != '\0')
    if (auto r = parse_int(procs, 1, kMostProcs); !r)
      errors.push_back(fmt::format("TREADLE_MAXPROCS \"{}\": {}", procs, r.error()));
  std::vector<std::string> keys;
  for (const Setting& s : settings_) keys.push_back(s.key);
  for (char** e = environ; *e != nullptr; ++e) {
    const std::string_view entry = *e;
    const std::string_view name = entry.substr(0, entry.find('='));
    if (!name.starts_with(kPrefix) || std::ranges::find(kOthers, name) != kOthers.end()) continue;
    const auto is_it = [name](const std::string& key) { return variable_name(key) == name; };
    if (std::ranges::any_of(keys, is_it)) continue;
    if (const std::string close = closest_variable(name, keys); !close.empty())
      errors.push_back(fmt::format("unknown variable {}, is {} meant?", name, close));
  }
}

}  // namespace treadle::apps
