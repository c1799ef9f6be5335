// One name, three spellings. A configuration key is the name itself:
//
//   key                     flag               environment
//   listen                  --listen           TREADLE_LISTEN
//   server.header_timeout   --header-timeout   TREADLE_SERVER_HEADER_TIMEOUT
//   tls.client_auth         --tls-client-auth  TREADLE_TLS_CLIENT_AUTH
//
// that is, a flag leaves "server" out and has hyphens; a variable has capitals and underscores.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace treadle::apps {

std::string flag_name(std::string_view key);  // without the two hyphens
std::string variable_name(std::string_view key);

// Insertions, deletions and replacements between two names.
std::size_t edit_distance(std::string_view a, std::string_view b);

// The key that a misspelt one most likely meant; empty when none is near. A key may also stand in
// the wrong table, or in none.
std::string closest_key(std::string_view key, std::span<const std::string> keys);

// The variable that a misspelt one most likely meant; empty when none is near. Stricter: the
// environment has names that are nobody's mistake. (A cluster gives each of its services variables:
// one called "treadle" makes TREADLE_PORT and TREADLE_SERVICE_HOST.)
std::string closest_variable(std::string_view name, std::span<const std::string> keys);

}  // namespace treadle::apps
