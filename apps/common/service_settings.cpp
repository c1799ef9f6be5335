#include "service_settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <grp.h>
#include <pwd.h>

#include <array>
#include <charconv>
#include <thread>
#include <utility>

#include <treadle/blocking.h>
#include <treadle/log.h>

namespace treadle::apps {

namespace {

bool is_number(const std::string& text) {
  unsigned value = 0;
  const char* end = text.data() + text.size();
  auto [p, ec] = std::from_chars(text.data(), end, value);
  return ec == std::errc() && p == end;
}

Parsed<void> check_user(const std::string& name) {
  if (name.empty() || is_number(name) || ::getpwnam(name.c_str()) != nullptr) return {};
  return std::unexpected(fmt::format("unknown user \"{}\"", name));
}

Parsed<void> check_group(const std::string& name) {
  if (name.empty() || is_number(name) || ::getgrnam(name.c_str()) != nullptr) return {};
  return std::unexpected(fmt::format("unknown group \"{}\"", name));
}

}  // namespace

void add_service_keys(Settings& settings, ServiceVariables v) {
  settings.add("server.drain_delay", duration_value(v.drain_delay),
               "after SIGTERM, before the listeners close, for a load balancer to notice");
  settings.add("server.shutdown_timeout", duration_value(v.shutdown_timeout),
               "for what is under way after SIGTERM; then it is cut");
  settings.add("server.tcp_keepalive", duration_value(v.tcp_keepalive),
               "silence after which TCP asks whether the peer is there; 0: never");
  settings.add("server.user", text_value(v.user), "user to become after binding; empty: stay");
  settings.rule("server.user", [&user = v.user] { return check_user(user); });
  settings.add("server.group", text_value(v.group), "group to become; empty: the user's");
  settings.rule("server.group", [&group = v.group] { return check_group(group); });
  settings.add("server.unix_mode", mode_value(v.unix_mode), "permissions of a Unix socket's file");
}

void add_service(Settings& settings, ServiceSettings& s) {
  settings.listen_and_procs(s.listen, s.procs);
  add_service_keys(
      settings, {s.drain_delay, s.shutdown_timeout, s.tcp_keepalive, s.user, s.group, s.unix_mode});
}

void reload_service(std::string_view name, Settings& settings, ServiceSettings& service) {
  ServiceSettings before = service;
  Parsed<void> r;
  // On a plain thread: the reader of the file may need more stack than a goroutine has.
  blocking_long([&] { std::thread([&] { r = settings.read_again(); }).join(); });
  if (!r) {
    service = std::move(before);
    log::error("{}: reload: {}; the old configuration stays", name, r.error());
    return;
  }
  constexpr std::array<std::string_view, 2> kChange = {"server.drain_delay",
                                                       "server.shutdown_timeout"};
  if (const auto keys = settings.changed_keys(kChange); !keys.empty())
    log::warn("{}: reload: unchanged until the next start: {}", name, fmt::join(keys, ", "));
  log::info("{}: reload: the new configuration is in force", name);
}

net::ServiceOptions service_options(std::string_view name, const ServiceSettings& s) {
  net::ServiceOptions out;
  out.name = name;
  out.places.push_back({s.listen, "listen"});
  out.listen.keep_alive = s.tcp_keepalive;
  out.listen.unix_mode = s.unix_mode;
  out.procs = s.procs;
  out.user = s.user;
  out.group = s.group;
  return out;
}

}  // namespace treadle::apps
