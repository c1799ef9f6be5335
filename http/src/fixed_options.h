// What SIGHUP cannot change.
#pragma once

#include <string_view>
#include <vector>

#include <treadle/http/server.h>

namespace treadle::http::detail {

// The options that differ and that a running server keeps, by their names in the apps'
// configuration files: "listen", "server.user".
std::vector<std::string_view> fixed_differences(const ServerOptions& running,
                                                const ServerOptions& wanted);

// `wanted`, but what cannot change as it is in `running`.
ServerOptions with_fixed_options(ServerOptions wanted, const ServerOptions& running);

}  // namespace treadle::http::detail
