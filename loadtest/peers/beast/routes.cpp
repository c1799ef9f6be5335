#include <boost/json.hpp>
#include <boost/json/src.hpp>
#include <ctime>

#include "session.h"

namespace peer {
namespace {

// "Sun, 06 Nov 1994 08:49:37 GMT", made once a second in each worker.
const std::string& date() {
  thread_local std::time_t made_at = 0;
  thread_local std::string text;
  const std::time_t now = std::time(nullptr);
  if (now != made_at) {
    made_at = now;
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    char formatted[64];
    text.assign(formatted,
                std::strftime(formatted, sizeof formatted, "%a, %d %b %Y %H:%M:%S GMT", &parts));
  }
  return text;
}

template <class Response>
void set_head(Response& response, const Request& request, beast::string_view type) {
  response.set(http::field::date, date());
  response.set(http::field::content_type, type);
  response.keep_alive(request.keep_alive());
  response.prepare_payload();
}

TextResponse text(const Request& request, http::status status, beast::string_view type,
                  std::string body) {
  TextResponse response{status, request.version()};
  response.body() = std::move(body);
  set_head(response, request, type);
  return response;
}

AnyResponse file(const Request& request, const std::string& root) {
  const beast::string_view target = request.target();
  http::file_body::value_type body;
  beast::error_code error = make_error_code(beast::errc::no_such_file_or_directory);
  if (!root.empty() && request.method() == http::verb::get && target.front() == '/' &&
      target.find("..") == beast::string_view::npos) {
    std::string path = root;
    path.append(target.data(), target.size());
    body.open(path.c_str(), beast::file_mode::scan, error);
  }
  if (error) return text(request, http::status::not_found, "text/plain", "not found\n");
  FileResponse response{http::status::ok, request.version()};
  response.body() = std::move(body);
  set_head(response, request, "application/octet-stream");
  return response;
}

}  // namespace

AnyResponse respond(Request&& request, const std::string& root) {
  using http::status;
  const beast::string_view target = request.target();
  if (target == "/plaintext") return text(request, status::ok, "text/plain", "Hello, World!");
  if (target == "/json") {
    const boost::json::object message{{"message", "Hello, World!"}};
    return text(request, status::ok, "application/json", boost::json::serialize(message));
  }
  if (target == "/echo" && request.method() == http::verb::post)
    return text(request, status::ok, "application/octet-stream", std::move(request.body()));
  return file(request, root);
}

}  // namespace peer
