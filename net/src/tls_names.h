// Host names: as clients send them, and as certificates hold them.
#pragma once

#include <openssl/x509.h>

#include <string>
#include <string_view>
#include <vector>

namespace treadle::net::tls {

// The name in lower case and without the dot that may end it; empty when it is none: longer than
// 253 bytes, or with other characters than letters, digits, '-', '_' and '.'.
std::string normal_name(std::string_view name);

// The names a certificate is for, as normal_name() gives them, "*.example.com" for a wildcard: the
// DNS names of its subjectAltName, or where it has none its last common name (RFC 6125 6.4.4).
// Wildcards that are more, or less, than the whole first label are left out, and so are names that
// no client can send.
std::vector<std::string> certificate_names(X509* certificate);

// What a wildcard would have after its "*": "example.com" for "www.example.com"; empty where
// nothing is left.
std::string_view parent_name(std::string_view name) noexcept;

// The name in a ClientHello's server_name extension, as normal_name() gives it; empty when it has
// none (RFC 6066 3).
std::string name_in_extension(std::string_view extension);

}  // namespace treadle::net::tls
