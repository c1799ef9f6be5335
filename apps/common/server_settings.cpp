#include "server_settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include <treadle/log.h>
#include <treadle/net/file.h>

#include "service_settings.h"
#include "tls_settings.h"

namespace treadle::apps {

namespace {

// Whether a log can be appended to, without making it: who checks a configuration may be another
// user than who will run with it. The server would only say that it cannot start.
Parsed<void> check_log(const std::string& path) {
  if (path.empty() || path == "-") return {};
  const bool there = ::access(path.c_str(), F_OK) == 0;
  const std::string directory = std::filesystem::path(path).parent_path().string();
  const char* asked = there ? path.c_str() : directory.empty() ? "." : directory.c_str();
  if (::access(asked, W_OK) == 0) return {};
  return std::unexpected("cannot be opened: " + std::generic_category().message(errno));
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
  settings.key("server.max_form_pairs", count_value(limits.form_pairs, 1, kMostHeaders),
               "pairs or parts of a form or query: 413 beyond");
  settings.key("server.max_part_head", size_value(limits.part_head, 1, kMostHead),
               "bytes of the head of a form's part: 413 beyond");
  settings.key("server.form_memory", size_value(limits.form_memory),
               "bytes of a form kept in memory; files beyond go to disk");
}

void add_timeouts(Settings& settings, http::ServerOptions& o) {
  settings.key("server.header_timeout", duration_value(o.header_timeout),
               "for a request's head to come whole; 0: no limit, as below");
  settings.key("server.tls_handshake_timeout", duration_value(o.tls_handshake_timeout),
               "for the TLS handshake");
  settings.key("server.proxy_timeout", duration_value(o.proxy_timeout), "for the PROXY header");
  settings.key("server.idle_timeout", duration_value(o.idle_timeout),
               "for the next request on a kept connection");
  settings.key("server.read_timeout", duration_value(o.read_timeout),
               "without a byte while a body is read");
  settings.key("server.write_timeout", duration_value(o.write_timeout),
               "without a byte taken while an answer is written");
  settings.key("server.min_rate", size_value(o.min_rate),
               "bytes a second that a body or an answer must move at least");
  settings.key("server.min_rate_after", duration_value(o.min_rate_after),
               "waiting time after which that counts");
  settings.key("server.handler_timeout", duration_value(o.handler_timeout),
               "until a handler's Context ends");
  settings.key("server.drain_idle", duration_value(o.drain_idle),
               "idle connections may still ask this long after SIGTERM");
}

void add_connections(Settings& settings, http::ServerOptions& o) {
  constexpr int kMost = 100'000'000;
  settings.key("server.max_connections", count_value(o.max_connections, 0, kMost),
               "connections at once; 0: as descriptors allow");
  settings.key("server.max_connections_per_address",
               count_value(o.max_connections_per_address, 0, kMost),
               "connections at once from one address; 0: no limit");
  settings.key("server.max_requests_per_connection",
               count_value(o.max_requests_per_connection, 0, 2'000'000'000),
               "requests on one connection; 0: no limit");
  settings.key("server.proxy_protocol", bool_value(o.proxy_protocol),
               "connections must begin with a PROXY header");
  settings.key("server.trusted_proxies", list_value(o.trusted_proxies, check_proxy),
               "addresses and networks whose X-Forwarded-* are believed");
}

Tables endpoint_tables(std::vector<http::Endpoint>& endpoints) {
  // The fields are those of the last one, whichever that is.
  const auto last = [&endpoints](auto make) {
    return
        [&endpoints, make](std::string_view text) { return make(endpoints.back()).assign(text); };
  };
  http::Endpoint sample;
  Value address = address_value(sample.address);
  address.assign = last([](http::Endpoint& e) { return address_value(e.address); });
  Value tls = bool_value(sample.tls);
  tls.assign = last([](http::Endpoint& e) { return bool_value(e.tls); });
  Value proxy = bool_value(sample.proxy_protocol);
  proxy.assign = last([](http::Endpoint& e) { return bool_value(e.proxy_protocol); });
  return {[&endpoints] { endpoints.emplace_back(); },
          [&endpoints] { endpoints.clear(); },
          [&endpoints, initial = endpoints] { endpoints = initial; },
          {{"address", address}, {"tls", tls}, {"proxy_protocol", proxy}}};
}

void add_endpoints(Settings& settings, http::ServerOptions& o) {
  settings.add("endpoint", endpoint_tables(o.endpoints), "one more place to listen");
  settings.rule("endpoint", [&o]() -> Parsed<void> {
    for (const http::Endpoint& e : o.endpoints) {
      if (e.address.empty()) return std::unexpected("an endpoint needs an address");
      if (e.tls && !o.tls)
        return std::unexpected(fmt::format("endpoint {} has no certificate: see tls", e.address));
    }
    return {};
  });
}

void add_log(Settings& settings, http::ServerOptions& o) {
  settings.key("server.health", bool_value(o.health), "answer /healthz and /readyz");
  settings.key("server.access_log", text_value(o.access_log),
               "file for a line per request; \"-\": standard output; empty: none");
  settings.rule("server.access_log", [&o] { return check_log(o.access_log); });
  settings.key(
      "server.access_log_format",
      choice_value(
          {"combined", "json"},
          [&o](std::size_t n) { o.access_log_format = static_cast<http::AccessLogFormat>(n); },
          [&o] { return static_cast<std::size_t>(o.access_log_format); }),
      "how its lines look: combined, json");
}

}  // namespace

void add_server(Settings& settings, http::ServerOptions& options) {
  options.address = "127.0.0.1:8080";
  settings.listen_and_procs(options.address, options.procs);
  add_timeouts(settings, options);
  add_service_keys(settings, {options.drain_delay, options.shutdown_timeout, options.tcp_keepalive,
                              options.user, options.group, options.unix_mode});
  add_limits(settings, options.limits);
  add_connections(settings, options);
  add_log(settings, options);
  add_tls(settings, options.tls);
  add_endpoints(settings, options);
}

http::ServeHooks serve_hooks(Settings& settings, http::ServerOptions& options) {
  return {[&settings, &options]() -> std::expected<http::ServerOptions, std::string> {
    if (auto r = settings.read_again(); !r) return std::unexpected(r.error());
    // The server itself tells of those.
    constexpr std::array<std::string_view, 5> kServers = {"listen", "procs", "server.", "tls.",
                                                          "endpoint"};
    if (const auto keys = settings.changed_keys(kServers); !keys.empty())
      log::warn("reload: unchanged until the next start: {}", fmt::join(keys, ", "));
    return options;
  }};
}

void add_root(Settings& settings, std::string& root, std::string_view help) {
  settings.flag("root", "DIR", text_value(root), std::string(help));
  settings.rule("root", [&root]() -> Parsed<void> {
    if (auto directory = net::Directory::open(root); !directory)
      return std::unexpected(directory.error().message());
    return {};
  });
}

}  // namespace treadle::apps
