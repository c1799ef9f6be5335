// The configuration from its three sources, and the samples.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>

#include "e2e/app.h"
#include "setting_names.h"
#include "settings.h"
#include "support/temporary_tree.h"
#include "support/tls_fixture.h"

namespace treadle::test {
namespace {

Finished check(std::vector<std::string> flags, std::vector<std::string> environment = {},
               std::string_view app = "treadle-files") {
  flags.emplace_back("--check-config");
  return run_app(app, std::move(flags), std::move(environment));
}

void expect_refused(const Finished& run, std::string_view because) {
  EXPECT_EQ(run.exit_code, 2) << run.output;
  EXPECT_NE(run.output.find(because), std::string::npos) << because << " is not in " << run.output;
}

TEST(ConfigNames, OneNameHasThreeSpellings) {
  EXPECT_EQ(apps::flag_name("listen"), "listen");
  EXPECT_EQ(apps::flag_name("server.header_timeout"), "header-timeout");
  EXPECT_EQ(apps::flag_name("tls.client_auth"), "tls-client-auth");
  EXPECT_EQ(apps::variable_name("listen"), "TREADLE_LISTEN");
  EXPECT_EQ(apps::variable_name("server.header_timeout"), "TREADLE_SERVER_HEADER_TIMEOUT");
}

TEST(ConfigSources, FlagOverEnvironmentOverFileOverDefault) {
  TemporaryTree tree;
  tree.write("c.toml", "procs = 3\n");
  const std::vector<std::string> file = {"--config", tree.path("c.toml")};
  const auto procs = [](std::vector<std::string> flags, std::vector<std::string> environment) {
    SpawnOptions options;
    options.environment = std::move(environment);
    App app("treadle-demo", std::move(flags), options);
    return app.get("/json").body;
  };
  EXPECT_NE(procs(file, {}).find("\"procs\": 3"), std::string::npos);
  EXPECT_NE(procs(file, {"TREADLE_PROCS=2"}).find("\"procs\": 2"), std::string::npos);
  EXPECT_NE(procs(file, {"TREADLE_PROCS="}).find("\"procs\": 3"), std::string::npos);
  EXPECT_NE(procs({"--config", tree.path("c.toml"), "--procs", "5"}, {"TREADLE_PROCS=2"})
                .find("\"procs\": 5"),
            std::string::npos);
}

TEST(ConfigSources, EachErrorNamesItsOrigin) {
  TemporaryTree tree;
  tree.write("c.toml", "[server]\nheader_timeout = \"soon\"\n");
  expect_refused(check({"--header-timeout", "5x"}), "--header-timeout \"5x\": needs a duration");
  expect_refused(check({}, {"TREADLE_SERVER_HEADER_TIMEOUT=5x"}),
                 "TREADLE_SERVER_HEADER_TIMEOUT \"5x\": needs a duration");
  expect_refused(check({"--config", tree.path("c.toml")}),
                 "c.toml:2: server.header_timeout = \"soon\": needs a duration");
  expect_refused(check({"--user", "nobody-at-all"}), "--user \"nobody-at-all\"");
  expect_refused(check({"--unix-mode", "0999"}), "octal");
  expect_refused(check({"--access-log-format", "xml"}), "\"combined\", \"json\"");
}

TEST(ConfigSources, MisspeltVariablesAreErrorsAndStrangersAreNot) {
  expect_refused(check({}, {"TREADLE_SERVER_HEADER_TIMOUT=5s"}),
                 "is TREADLE_SERVER_HEADER_TIMEOUT meant?");
  expect_refused(check({}, {"TREADLE_LISTN=:1"}), "is TREADLE_LISTEN meant?");
  // As a cluster sets them for a service called "treadle", and for one called "treadle-server".
  const Finished run = check({}, {"TREADLE_PORT=tcp://10.0.0.1:80", "TREADLE_SERVICE_HOST=10.0.0.1",
                                  "TREADLE_SERVER_PORT_80_TCP=tcp://10.0.0.1:80"});
  EXPECT_EQ(run.exit_code, 0) << run.output;
}

TEST(ConfigCheck, SaysFineOrEveryError) {
  const Finished fine = check({});
  EXPECT_EQ(fine.exit_code, 0);
  EXPECT_EQ(fine.output, "configuration is fine\n");
  TemporaryTree tree;
  tree.write("c.toml", "procs = \"x\"\n\nnonsense = 1\n[server]\nmax_body = -1\n");
  const Finished bad = check({"--config", tree.path("c.toml")});
  EXPECT_EQ(bad.exit_code, 2);
  for (const char* line : {"c.toml:1: ", "c.toml:3: ", "c.toml:5: "})
    EXPECT_NE(bad.output.find(line), std::string::npos) << bad.output;
  EXPECT_EQ(std::ranges::count(bad.output, '\n'), 3);
}

TEST(ConfigCheck, DoesNotMakeTheLog) {
  TemporaryTree tree;
  EXPECT_EQ(check({"--access-log", tree.path("log")}).exit_code, 0);
  EXPECT_NE(::access(tree.path("log").c_str(), F_OK), 0);
}

TEST(ConfigLists, AreArraysOrHaveCommas) {
  TemporaryTree tree;
  tree.write("c.toml", "[server]\ntrusted_proxies = [\n  \"10.0.0.0/8\",\n  \"::1/129\",\n]\n");
  expect_refused(check({"--config", tree.path("c.toml")}), "c.toml:4: ");
  tree.write("c.toml", "[server]\ntrusted_proxies = []\n");
  EXPECT_EQ(check({"--config", tree.path("c.toml")}).exit_code, 0);
  EXPECT_EQ(check({"--trusted-proxies", "10.0.0.0/8,::1,unix"}).exit_code, 0);
  expect_refused(check({"--trusted-proxies", "10.0.0.0/8,localhost"}), "needs addresses");
  expect_refused(check({}, {"TREADLE_SERVER_TRUSTED_PROXIES=10.0.0.0/33"}), "needs addresses");
  tree.write("c.toml", "procs = [1, 2]\n");
  expect_refused(check({"--config", tree.path("c.toml")}), "one value");
}

TEST(ConfigTables, EndpointsComeFromEverywhere) {
  TemporaryTree tree;
  const std::vector<std::string> file = {"--config", tree.path("c.toml")};
  tree.write("c.toml",
             "[[endpoint]]\naddress = \"127.0.0.1:1\"\n\n[[endpoint]]\naddress = \"unix:/x\"\n"
             "proxy_protocol = true\n");
  EXPECT_EQ(check(file).exit_code, 0);
  tree.write("c.toml", "[[endpoint]]\naddress = \":1\"\n\n[[endpoint]]\naddres = \":2\"\n");
  expect_refused(check(file), "c.toml:5: unknown key \"endpoint.addres\"");
  tree.write("c.toml", "[[endpoint]]\nproxy_protocol = true\n");
  expect_refused(check(file), "needs an address");
  tree.write("c.toml", "[endpoint]\naddress = \":1\"\n");
  expect_refused(check(file), "[[endpoint]]");
  tree.write("c.toml", "[[endpoint]]\naddress = \":1\"\ntls = true\n");
  expect_refused(check(file), "has no certificate");
  EXPECT_EQ(check({"--endpoint", "address=:1", "--endpoint", "address=[::1]:2,proxy_protocol=true"})
                .exit_code,
            0);
  expect_refused(check({"--endpoint", ":1"}), "needs address=ADDR:PORT,tls=BOOL");
  EXPECT_EQ(check({}, {"TREADLE_ENDPOINT=address=:1 address=:2"}).exit_code, 0);
  expect_refused(check({}, {"TREADLE_ENDPOINT=address=x"}), "ADDR:PORT");
}

TEST(ConfigTables, CertificatesMustBeReadable) {
  const TlsFiles files;
  const TemporaryTree& tree = files.tree;
  tree.write("empty.pem", "");
  tree.write("c.toml", fmt::format("[tls]\ncert = \"{0}\"\n[[tls.certificate]]\nchain = \"{0}\"\n"
                                   "key = \"/nonexistent.pem\"\n",
                                   files.site_file));
  expect_refused(check({"--config", tree.path("c.toml")}), "/nonexistent.pem");
  expect_refused(check({"--tls-cert", tree.path("empty.pem")}), "no certificate in it");
  expect_refused(check({"--tls-key", "x.pem"}), "needs tls.cert");
  expect_refused(check({"--tls-cert", files.site_file, "--tls-client-auth", "require"}),
                 "needs tls.client_ca");
  EXPECT_EQ(check({"--tls-cert", files.site_file}).exit_code, 0);
}

TEST(ConfigReread, BeginsFromTheDefaultsAgain) {
  TemporaryTree tree;
  tree.write("c.toml", "[server]\nidle = \"5s\"\nlist = [\"a\", \"b\"]\n");
  Duration idle = std::chrono::seconds(75);
  std::vector<std::string> list = {"z"};
  apps::Settings settings("test", "A test.");
  settings.add("server.idle", apps::duration_value(idle), "idle");
  settings.add("server.list",
               apps::list_value(list, [](std::string_view) { return apps::Parsed<void>(); }), "l");
  const std::string path = tree.path("c.toml");
  const char* argv[] = {"test", "--config", path.c_str()};
  ASSERT_EQ(settings.parse(3, argv), std::nullopt);
  EXPECT_EQ(idle, std::chrono::seconds(5));
  EXPECT_EQ(list, (std::vector<std::string>{"a", "b"}));
  tree.write("c.toml", "");
  ASSERT_TRUE(settings.read_again());
  EXPECT_EQ(idle, std::chrono::seconds(75));
  EXPECT_EQ(list, std::vector<std::string>{"z"});
  constexpr std::array<std::string_view, 1> kNone = {"other."};
  EXPECT_EQ(settings.changed_keys(kNone), (std::vector<std::string>{"server.idle", "server.list"}));
  tree.write("c.toml", "\n[server]\nidle = 5\n");
  const auto bad = settings.read_again();
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().find("c.toml:3: "), std::string::npos) << bad.error();
}

// --help's flags with their placeholders and defaults.
struct Flag {
  std::string placeholder;
  std::string initial;
};
std::map<std::string, Flag> flags_of(std::string_view app) {
  std::map<std::string, Flag> flags;
  std::istringstream lines(run_app(app, {"--help"}).output);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("  --")) continue;
    std::istringstream words(line);
    std::string name;
    Flag flag;
    words >> name >> flag.placeholder;
    const std::size_t open = line.rfind(" [");
    if (line.ends_with(']')) flag.initial = line.substr(open + 2, line.size() - open - 3);
    flags[name.substr(2)] = flag;
  }
  for (const char* not_a_key : {"config", "check-config", "version"}) flags.erase(not_a_key);
  return flags;
}

// Every `name = value` of a sample by its key, those in tables that are commented out, too.
std::map<std::string, std::string> keys_of(const std::string& path) {
  std::map<std::string, std::string> keys;
  std::ifstream in(path);
  std::string table;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("#[") || (line.starts_with("#") && line.find(" = ") != std::string::npos &&
                                   line.find(' ') == line.find(" = ")))
      line.erase(0, 1);
    if (line.starts_with('[')) {
      table = line.substr(line.find_first_not_of('['));
      table = table.substr(0, table.find(']')) + ".";
      if (table == "endpoint." || table == "tls.certificate.")
        keys[table.substr(0, table.size() - 1)] = "";
      continue;
    }
    const std::size_t equals = line.find(" = ");
    if (line.starts_with('#') || equals == std::string::npos) continue;
    if (table == "endpoint." || table == "tls.certificate.") continue;
    std::string value = line.substr(equals + 3);
    const bool quoted = value.starts_with('"');
    value = quoted ? value.substr(1, value.find('"', 1) - 1) : value.substr(0, value.find(' '));
    if (value.starts_with('[')) value = value.substr(1, value.find(']') - 1);
    std::erase(value, '"');
    keys[table + line.substr(0, equals)] = value;
  }
  return keys;
}

std::string normal(const Flag& flag, const std::string& value) {
  if (flag.placeholder == "DURATION") {
    const auto d = apps::parse_duration(value);
    return d ? apps::format_duration(*d) : "not a duration: " + value;
  }
  if (flag.placeholder == "SIZE") {
    const auto n = apps::parse_size(value);
    return n ? apps::format_size(*n) : "not a size: " + value;
  }
  return value;
}

TEST(ConfigSamples, HaveEveryKeyAndItsDefault) {
  const char* source = std::getenv("TREADLE_SOURCE_DIR");
  ASSERT_NE(source, nullptr);
  for (std::string_view app : kApps) {
    SCOPED_TRACE(app);
    const std::string sample = fmt::format("{}/config/{}.toml", source, app);
    EXPECT_EQ(check({"--config", sample}, {}, app).exit_code, 0);
    std::map<std::string, Flag> flags = flags_of(app);
    EXPECT_GT(flags.size(), 5U);
    for (const auto& [key, value] : keys_of(sample)) {
      const auto flag = flags.find(apps::flag_name(key));
      ASSERT_NE(flag, flags.end()) << key;
      EXPECT_EQ(normal(flag->second, value), flag->second.initial) << key;
      flags.erase(flag);
    }
    for (const auto& [name, flag] : flags) ADD_FAILURE() << "--" << name << " has no key";
  }
}

TEST(ConfigSamples, UnitsAreWhatSystemdTakes) {
  if (std::system("command -v systemd-analyze > /dev/null") != 0) GTEST_SKIP() << "no systemd here";
  const char* source = std::getenv("TREADLE_SOURCE_DIR");
  TemporaryTree tree;
  std::vector<std::string> command = {"systemd-analyze", "verify", "--man=no"};
  for (const char* name : {"treadle-echo", "treadle-files"}) {
    for (const char* kind : {"service", "socket"}) {
      std::ifstream in(fmt::format("{}/config/{}.{}", source, name, kind));
      std::string text{std::istreambuf_iterator<char>(in), {}};
      ASSERT_NE(text, "");
      // The binaries are not installed.
      const std::string installed = fmt::format("/usr/bin/{}", name);
      const std::string built = app_command(name, {}).front();
      for (std::size_t at = 0; (at = text.find(installed, at)) != std::string::npos;)
        text.replace(at, installed.size(), built), at += built.size();
      tree.write(fmt::format("{}.{}", name, kind), text);
      command.push_back(tree.path(fmt::format("{}.{}", name, kind)));
    }
  }
  Process verify(command);
  EXPECT_EQ(verify.wait(), 0) << verify.output();
  EXPECT_EQ(verify.output(), "");
}

}  // namespace
}  // namespace treadle::test
