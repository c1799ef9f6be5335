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
  settings.key("server.max_request_line", size_value(options.limits.request_line, 1),
               "bytes of the request line: 414 beyond");
  settings.key("server.max_head", size_value(options.limits.head, 1),
               "bytes of the request's head: 431 beyond");
  settings.key("server.max_headers", size_value(options.limits.headers, 1),
               "header fields: 431 beyond");
  settings.key("server.max_body", size_value(options.limits.body),
               "bytes of a request's body: 413 beyond; 0: no limit");
  settings.key("server.access_log", log_file_value(options.access_log),
               "file for a line per request; \"-\": standard output; empty: none");
}

std::optional<int> check_root(const Settings& settings, const std::string& root) {
  auto directory = net::Directory::open(root);
  if (directory) return std::nullopt;
  return settings.refuse(fmt::format("--root \"{}\": {}", root, directory.error().message()));
}

}  // namespace treadle::apps
