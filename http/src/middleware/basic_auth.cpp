#include <treadle/http/basic_auth.h>

#include <treadle/http/header.h>
#include <treadle/http/request.h>
#include <treadle/http/response.h>
#include <treadle/http/status.h>
#include <treadle/result.h>

#include <optional>
#include <utility>

#include "../basic_credentials.h"
#include "../request_state.h"

namespace treadle::http {
namespace {

std::string challenge_for(std::string_view realm) {
  if (!is_field_value(realm)) throw Panic("treadle::http: basic_auth: invalid realm");
  std::string quoted;  // RFC 9110 5.6.4
  for (const char c : realm) {
    if (c == '"' || c == '\\') quoted.push_back('\\');
    quoted.push_back(c);
  }
  return "Basic realm=\"" + quoted + "\", charset=\"UTF-8\"";
}

// Looks at every user, also once the right one was found.
bool is_among(const std::map<std::string, std::string>& users, std::string_view user,
              std::string_view password) noexcept {
  unsigned found = 0;
  for (const auto& [name, secret] : users) {
    const unsigned same_user = equal_in_constant_time(user, name) ? 1 : 0;
    const unsigned same_password = equal_in_constant_time(password, secret) ? 1 : 0;
    found |= same_user & same_password;
  }
  return found != 0;
}

}  // namespace

Middleware basic_auth(std::string_view realm, PasswordCheck check) {
  if (!check) throw Panic("treadle::http: basic_auth without a check");
  return [challenge = challenge_for(realm), check = std::move(check)](Handler next) -> Handler {
    return [challenge, check, next = std::move(next)](Response& res, const Request& req) {
      std::optional<BasicCredentials> given;
      if (req.headers().count("Authorization") == 1)
        given = parse_basic_credentials(req.header("Authorization"));
      if (given && check(given->user, given->password)) {
        req.state().user = std::move(given->user);
        return next(res, req);
      }
      res.send_error(status::kUnauthorized);
      res.header("WWW-Authenticate", challenge);
    };
  };
}

Middleware basic_auth(std::string_view realm, std::map<std::string, std::string> users) {
  return basic_auth(realm,
                    [users = std::move(users)](std::string_view user, std::string_view password) {
                      return is_among(users, user, password);
                    });
}

std::string_view authenticated_user(const Request& req) noexcept { return req.state().user; }

}  // namespace treadle::http
