// What the HTTP apps have in common: the server's options as settings.
#pragma once

#include <optional>
#include <string>

#include <treadle/http/server.h>

#include "settings.h"

namespace treadle::apps {

// Adds a setting for every one of the options; `options` gets the address all apps listen on unless
// told otherwise. Both must outlive what serve_hooks() makes of them.
void add_server(Settings& settings, http::ServerOptions& options);

// For listen_and_serve(): SIGHUP reads the settings again into `options`. Names in the log the
// settings of the app's own that have changed: they are read at the start only.
http::ServeHooks serve_hooks(Settings& settings, http::ServerOptions& options);

// Empty when files below `root` can be served; else says why not and returns the exit code.
std::optional<int> check_root(const Settings& settings, const std::string& root);

}  // namespace treadle::apps
