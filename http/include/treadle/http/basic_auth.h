// basic_auth(): names and passwords (RFC 7617). Only over TLS: they travel as clear text.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include <treadle/http/middleware.h>

namespace treadle::http {

// Whether the password is this user's. May park (to ask a data base, say); called by many
// goroutines at once. It should take as long for users that there are not as for those there are.
using PasswordCheck = std::function<bool(std::string_view user, std::string_view password)>;

// Lets requests through that bring a name and password that `check` accepts; others, malformed ones
// among them, get 401 with a challenge for `realm`. Names and passwords are UTF-8, without control
// characters. Panics when `realm` is no field value or `check` is empty.
Middleware basic_auth(std::string_view realm, PasswordCheck check);

// The same for a few users and their passwords. How long a look takes tells neither which users
// there are nor how much of a password is right; it grows with the number of users.
Middleware basic_auth(std::string_view realm, std::map<std::string, std::string> users);

// The user that basic_auth() let through; empty when there was none. Lives until the handler
// returns. Never parks.
std::string_view authenticated_user(const Request& req) noexcept;

}  // namespace treadle::http
