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

// Adds "root", a directory that must be there. `root` must outlive the settings.
void add_root(Settings& settings, std::string& root, std::string_view help);

}  // namespace treadle::apps
