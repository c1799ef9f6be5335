// What a connection goes by: the options, and what is computed from them once.
#pragma once

#include <memory>

#include <treadle/http/server.h>

#include "forwarded.h"
#include "parser.h"
#include "transport.h"

namespace treadle::http::detail {

// Constant. A reload makes another; connections keep the one they began with.
struct Settings {
  ServerOptions options;
  ParserLimits parser_limits;
  PeerLimits peer_limits;
  TrustedProxies trusted;
};

// Panics when an option is out of range (see Server).
std::shared_ptr<const Settings> make_settings(ServerOptions options);

}  // namespace treadle::http::detail
