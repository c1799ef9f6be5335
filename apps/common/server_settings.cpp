#include "server_settings.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include <treadle/net/file.h>

namespace treadle::apps {

namespace {

// A file to append to, "-" or "". Tried at once: the server would only say that it cannot start.
Value log_file_value(std::string& variable) {
  Value value = text_value(variable);
  value.assign = [assign = std::move(value.assign)](std::string_view text) -> Parsed<void> {
    if (!text.empty() && text != "-") {
      int fd = ::open(std::string(text).c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
      if (int e = errno; fd < 0)
        return std::unexpected("cannot be opened: " + std::generic_category().message(e));
      ::close(fd);
    }
    return assign(text);
  };
  return value;
}

// What the server would panic over.
void add_limits(Settings& settings, http::RequestLimits& limits) {
  constexpr std::size_t kMostHead = 1 << 20;
  constexpr int kMostHeaders = 1'000'000;
  settings.key("server.max_request_line", size_value(limits.request_line, 1, kMostHead),
               "bytes of the request line: 414 beyond");
  settings.key("server.max_head", size_value(limits.head, 1, kMostHead),
               "bytes of the request's head: 431 beyond");
  settings.rule("server.max_request_line", "server.max_head", [&limits]() -> Parsed<void> {
    if (limits.request_line <= limits.head) return {};
    return std::unexpected(
        fmt::format("server.max_head ({}) must not be below server.max_request_line ({})",
                    format_size(limits.head), format_size(limits.request_line)));
  });
  settings.key("server.max_headers", count_value(limits.headers, 1, kMostHeaders),
               "header fields: 431 beyond");
  settings.key("server.max_body", size_value(limits.body),
               "bytes of a request's body: 413 beyond; 0: no limit");
}

}  // namespace

void add_server(Settings& settings, http::ServerOptions& options) {
  options.address = "127.0.0.1:8080";
  settings.listen_and_procs(options.address, options.procs);
  settings.key("server.header_timeout", duration_value(options.header_timeout),
               "for a request's head to come whole; 0: no limit, as below");
  settings.key("server.idle_timeout", duration_value(options.idle_timeout),
               "for the next request on a kept connection");
  settings.key("server.read_timeout", duration_value(options.read_timeout),
               "without a byte while a body is read");
  settings.key("server.write_timeout", duration_value(options.write_timeout),
               "without a byte taken while an answer is written");
  settings.key("server.handler_timeout", duration_value(options.handler_timeout),
               "until a handler's Context ends");
  settings.key("server.shutdown_timeout", duration_value(options.shutdown_timeout),
               "for requests under way after SIGTERM");
  settings.key("server.drain_idle", duration_value(options.drain_idle),
               "idle connections may still ask this long after SIGTERM");
  add_limits(settings, options.limits);
  settings.key("server.access_log", log_file_value(options.access_log),
               "file for a line per request; \"-\": standard output; empty: none");
}

std::optional<int> check_root(const Settings& settings, const std::string& root) {
  auto directory = net::Directory::open(root);
  if (directory) return std::nullopt;
  return settings.refuse_value("root", directory.error().message());
}

}  // namespace treadle::apps
