// What every service can be told, HTTP or not.
#pragma once

#include <chrono>
#include <string>

#include <treadle/net/service.h>

#include "settings.h"

namespace treadle::apps {

struct ServiceSettings {
  std::string listen = "127.0.0.1:8080";
  int procs = 0;
  Duration drain_delay = Duration::zero();
  Duration shutdown_timeout = std::chrono::seconds(25);
  Duration tcp_keepalive = std::chrono::seconds(15);
  std::string user{};
  std::string group{};
  unsigned unix_mode = 0660;
};

// Adds all of these.
void add_service(Settings& settings, ServiceSettings& service);
// SIGHUP: reads them again, and says in the log what came of it; `service` changes as a whole or
// not at all. Parks the calling G.
void reload_service(std::string_view name, Settings& settings, ServiceSettings& service);
net::ServiceOptions service_options(std::string_view name, const ServiceSettings& service);

// The part of it that add_server() has, too: references to the variables, wherever they are.
struct ServiceVariables {
  Duration& drain_delay;
  Duration& shutdown_timeout;
  Duration& tcp_keepalive;
  std::string& user;
  std::string& group;
  unsigned& unix_mode;
};
void add_service_keys(Settings& settings, ServiceVariables v);

}  // namespace treadle::apps
