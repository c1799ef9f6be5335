// The apps, run as users run them.
#pragma once

#include <gtest/gtest.h>

#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "support/raw_client.h"
#include "support/spawn.h"

namespace treadle::test {

inline constexpr std::string_view kApps[] = {"treadle-echo", "treadle-files", "treadle-hello",
                                             "treadle-demo"};

// argv of an app: its path, then `flags`.
inline std::vector<std::string> app_command(std::string_view app, std::vector<std::string> flags) {
  const char* directory = std::getenv("TREADLE_BIN_DIR");
  flags.insert(flags.begin(), std::string(directory ? directory : ".") + "/" + std::string(app));
  return flags;
}

// What an app that is expected to end by itself said, and its exit code (-1: it did not end).
struct Finished {
  int exit_code = -1;
  std::string output;
};
inline Finished run_app(std::string_view app, std::vector<std::string> flags,
                        std::vector<std::string> environment = {}) {
  SpawnOptions options;
  options.environment = std::move(environment);
  Process process(app_command(app, std::move(flags)), options);
  int exit_code = process.wait().value_or(-1);
  return {exit_code, process.output()};
}

// An app that listens on a free port of its own choice. port() is 0 when it did not come up.
class App {
 public:
  explicit App(std::string_view app, std::vector<std::string> flags = {},
               const SpawnOptions& options = {})
      : process_(app_command(app, with_listen(std::move(flags))), options) {
    constexpr std::string_view kMark = "127.0.0.1:";
    if (!process_.wait_for_output(kMark)) return;
    std::string output = process_.output();
    const char* digits = output.data() + output.find(kMark) + kMark.size();
    std::from_chars(digits, output.data() + output.size(), port_);
  }

  std::uint16_t port() const noexcept { return port_; }
  Process& process() noexcept { return process_; }

  // One exchange on a connection of its own.
  RawResponse get(std::string_view target) { return request("GET", target); }
  RawResponse request(std::string_view method, std::string_view target,
                      std::string_view body = {}) {
    std::string text = std::string(method) + " " + std::string(target) +
                       " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    if (!body.empty()) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    return RawClient(port_).roundtrip(
        text + "\r\n" + std::string(body),
        method == "HEAD" ? RawClient::Request::head : RawClient::Request::other);
  }

  // Ends it as an operator would; the exit code.
  int stop(int signal) {
    process_.signal(signal);
    return process_.wait().value_or(-1);
  }

 private:
  static std::vector<std::string> with_listen(std::vector<std::string> flags) {
    flags.insert(flags.end(), {"--listen", "127.0.0.1:0"});
    return flags;
  }

  Process process_;
  std::uint16_t port_ = 0;
};

}  // namespace treadle::test
