// What the HTTP apps have in common: the server's options as flags and keys.
#pragma once

#include <optional>
#include <string>

#include <treadle/http/server.h>

#include "settings.h"

namespace treadle::apps {

// Adds --listen and --procs, and a key below [server] for each time-out and limit; `options` gets
// the address all apps listen on unless told otherwise.
void add_server(Settings& settings, http::ServerOptions& options);

// Empty when files below `root` can be served; else says why not and returns the exit code.
std::optional<int> check_root(const Settings& settings, const std::string& root);

}  // namespace treadle::apps
