#include "fixed_options.h"

#include <algorithm>

namespace treadle::http::detail {
namespace {

bool same(const Endpoint& a, const Endpoint& b) noexcept {
  return a.address == b.address && a.tls == b.tls && a.proxy_protocol == b.proxy_protocol;
}

}  // namespace

std::vector<std::string_view> fixed_differences(const ServerOptions& running,
                                                const ServerOptions& wanted) {
  std::vector<std::string_view> names;
  const auto add = [&names](bool differs, std::string_view name) {
    if (differs) names.push_back(name);
  };
  const ServerOptions& a = running;
  const ServerOptions& b = wanted;
  add(a.address != b.address, "listen");
  add(!std::ranges::equal(a.endpoints, b.endpoints, same), "endpoint");
  add(a.procs != b.procs, "procs");
  add(a.tls.has_value() != b.tls.has_value(), "tls");
  add(a.proxy_protocol != b.proxy_protocol, "server.proxy_protocol");
  add(a.health != b.health, "server.health");
  add(a.access_log != b.access_log, "server.access_log");
  add(a.access_log_format != b.access_log_format, "server.access_log_format");
  add(a.user != b.user, "server.user");
  add(a.group != b.group, "server.group");
  add(a.unix_mode != b.unix_mode, "server.unix_mode");
  add(a.handle_signals != b.handle_signals, "handle_signals");
  add(a.max_connections != b.max_connections, "server.max_connections");
  add(a.max_connections_per_address != b.max_connections_per_address,
      "server.max_connections_per_address");
  return names;
}

ServerOptions with_fixed_options(ServerOptions wanted, const ServerOptions& running) {
  wanted.address = running.address;
  wanted.endpoints = running.endpoints;
  wanted.procs = running.procs;
  if (wanted.tls.has_value() != running.tls.has_value()) wanted.tls = running.tls;
  wanted.proxy_protocol = running.proxy_protocol;
  wanted.health = running.health;
  wanted.access_log = running.access_log;
  wanted.access_log_format = running.access_log_format;
  wanted.user = running.user;
  wanted.group = running.group;
  wanted.unix_mode = running.unix_mode;
  wanted.handle_signals = running.handle_signals;
  wanted.max_connections = running.max_connections;
  wanted.max_connections_per_address = running.max_connections_per_address;
  return wanted;
}

}  // namespace treadle::http::detail
