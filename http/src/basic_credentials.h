// Credentials of the Basic scheme (RFC 7617). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace treadle::http {

struct BasicCredentials {
  std::string user;
  std::string password;
};

// What an Authorization field of the scheme Basic says; nothing when it is of another scheme or
// malformed: base64 that is not canonical (RFC 4648 4), no colon, a control character.
std::optional<BasicCredentials> parse_basic_credentials(std::string_view authorization);

// Compares in a time that depends on the length of `given` alone.
bool equal_in_constant_time(std::string_view given, std::string_view secret) noexcept;

}  // namespace treadle::http
