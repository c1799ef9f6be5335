#include <treadle/http/cors.h>

#include <fmt/format.h>

#include <treadle/http/header.h>
#include <treadle/http/request.h>
#include <treadle/http/response.h>
#include <treadle/http/status.h>
#include <treadle/result.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "../field_list.h"

namespace treadle::http {
namespace {

void require_origin(std::string_view origin) {
  const std::size_t scheme = origin.find("://");
  const bool whole = scheme != std::string_view::npos && scheme > 0 && origin.size() > scheme + 3 &&
                     origin.find_first_of("/*?# ", scheme + 3) == std::string_view::npos;
  if (!whole || !is_field_value(origin))
    throw Panic(fmt::format(
        "treadle::http: cors: \"{}\" is no origin: scheme://host or scheme://host:port", origin));
}

std::string join(const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) {
    if (!is_token(name))
      throw Panic(fmt::format("treadle::http: cors: \"{}\" is no method or field name", name));
    if (!all.empty()) all += ", ";
    all += name;
  }
  return all;
}

class Cors {
 public:
  explicit Cors(CorsOptions options) : o_(std::move(options)) {
    if (o_.any_origin && o_.credentials)
      throw Panic("treadle::http: cors: every origin with credentials would open all to everybody");
    if (o_.max_age < Duration::zero()) throw Panic("treadle::http: cors: negative max_age");
    for (const std::string& origin : o_.origins) require_origin(origin);
    any_header_ = std::ranges::find(o_.headers, "*") != o_.headers.end();
    methods_ = join(o_.methods);
    headers_ = any_header_ ? std::string() : join(o_.headers);
    exposed_ = join(o_.exposed_headers);
  }

  static bool is_preflight(const Request& req) noexcept {
    return req.method() == "OPTIONS" && req.headers().has("Origin") &&
           req.headers().has("Access-Control-Request-Method");
  }

  void preflight(Response& res, const Request& req) const {
    res.keep_header("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers");
    res.status(status::kNoContent);
    const bool allowed = admit(res, req) && allows_method(req) && allows_headers(req);
    if (!allowed) return;
    grant(res, req);
    res.header("Access-Control-Allow-Methods", methods_);
    const std::string asked = asked_headers(req);
    if (any_header_ && !asked.empty()) res.header("Access-Control-Allow-Headers", asked);
    if (!headers_.empty()) res.header("Access-Control-Allow-Headers", headers_);
    if (o_.max_age > Duration::zero())
      res.header(
          "Access-Control-Max-Age",
          fmt::to_string(std::chrono::duration_cast<std::chrono::seconds>(o_.max_age).count()));
  }

  void mark(Response& res, const Request& req) const {
    if (!admit(res, req)) return;
    grant(res, req);
    if (!exposed_.empty()) res.keep_header("Access-Control-Expose-Headers", exposed_);
  }

 private:
  // Whether the origin is allowed, if there is one; notes that this made a difference.
  bool admit(Response& res, const Request& req) const {
    if (!o_.any_origin) res.keep_header("Vary", "Origin");
    if (req.headers().count("Origin") != 1) return false;
    const std::string_view origin = req.header("Origin");
    if (o_.any_origin) return true;
    if (origin == "null") return o_.null_origin;
    if (std::ranges::find(o_.origins, origin) != o_.origins.end()) return true;
    return o_.allow_origin && o_.allow_origin(origin);
  }

  void grant(Response& res, const Request& req) const {
    res.keep_header("Access-Control-Allow-Origin", o_.any_origin ? "*" : req.header("Origin"));
    if (o_.credentials) res.keep_header("Access-Control-Allow-Credentials", "true");
  }

  bool allows_method(const Request& req) const {
    return std::ranges::find(o_.methods, req.header("Access-Control-Request-Method")) !=
           o_.methods.end();
  }

  bool allows_headers(const Request& req) const {
    for (const HeaderField& field : req.headers()) {
      if (!equal_ignore_case(field.name, "Access-Control-Request-Headers")) continue;
      FieldList list(field.value);
      while (const auto name = list.next()) {
        const bool known = std::ranges::any_of(
            o_.headers, [&](const std::string& h) { return equal_ignore_case(h, *name); });
        if (!is_token(*name) || !(known || any_header_)) return false;
      }
    }
    return true;
  }

  static std::string asked_headers(const Request& req) {
    std::string all;
    for (const HeaderField& field : req.headers()) {
      if (!equal_ignore_case(field.name, "Access-Control-Request-Headers")) continue;
      FieldList list(field.value);
      while (const auto name = list.next()) {
        if (!all.empty()) all += ", ";
        all += *name;
      }
    }
    return all;
  }

  CorsOptions o_;
  bool any_header_ = false;
  std::string methods_;
  std::string headers_;
  std::string exposed_;
};

}  // namespace

Middleware cors(CorsOptions options) {
  const auto cors = std::make_shared<const Cors>(std::move(options));
  return [cors](Handler next) -> Handler {
    return [cors, next = std::move(next)](Response& res, const Request& req) {
      if (Cors::is_preflight(req)) return cors->preflight(res, req);
      cors->mark(res, req);
      next(res, req);
    };
  };
}

}  // namespace treadle::http
