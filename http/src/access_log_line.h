// The lines of the access log.
#pragma once

#include <cstdint>
#include <string_view>

#include <treadle/http/server.h>
#include <treadle/net/addr.h>
#include <treadle/timer.h>

#include "access_log_text.h"

namespace treadle::http::detail {

// One line's worth. What is empty is shown as absent.
struct AccessRecord {
  const net::SocketAddress& peer;              // the other end of the connection
  const net::SocketAddress* client = nullptr;  // whom trusted proxies name; null: the peer itself
  std::string_view method{};  // empty with the rest of the request line when it could not be read
  std::string_view target{};
  int minor_version = 1;
  std::string_view host{};
  int status = 0;
  std::uint64_t bytes = 0;  // of body
  std::string_view referer{};
  std::string_view user_agent{};
  std::string_view user{};  // who the client proved to be, by basic_auth()
  std::string_view request_id{};
  std::string_view tls_version{};  // "TLSv1.3"; empty without TLS
  std::string_view tls_cipher{};
  bool cut = false;         // the response could not be completed
  Duration took{};          // from the end of the request's head to the end of its answer
  Duration handler_time{};  // of these, what the handler took
};

// The combined format, and behind it both durations in seconds, the request id, the host, TLS
// version and cipher, and the connection's peer where that is not the client. In one line:
//
//   192.0.2.7 - - [06/Nov/1994:08:49:37 +0000] "GET / HTTP/1.1" 200 12 "-" "curl/8"
//       0.000123 0.000045 4f1c8a... localhost:8080 TLSv1.3/TLS_AES_128_GCM_SHA256 10.0.0.1:5000
//
// where the third word is the user who was authenticated, and with "-" for what is absent, and "
// cut" at the end where the response could not be completed. No field holds a quote, and none
// outside of quotes a space.
void append_combined(LogLine& out, const AccessRecord& r);

// One JSON object a line, ASCII only, durations in seconds. Members that are absent are left out:
// peer, method with target and protocol, host, referer, user_agent, user, request_id, tls_version
// and tls_cipher.
//
//   {"time":"1994-11-06T08:49:37.123Z","client":"192.0.2.7","peer":"10.0.0.1:5000",
//    "method":"GET","target":"/","protocol":"HTTP/1.1","host":"localhost:8080","status":200,
//    "bytes":12,"referer":"http://x/","user_agent":"curl/8","request_id":"4f1c8a...",
//    "tls_version":"TLSv1.3","tls_cipher":"TLS_AES_128_GCM_SHA256","duration":0.000123,
//    "handler":0.000045}
//
// and "cut":true where the response could not be completed.
void append_json(LogLine& out, const AccessRecord& r);

}  // namespace treadle::http::detail
