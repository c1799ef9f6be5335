// What requests bring and responses carry: path values, queries, forms, JSON, cookies.
#include <treadle/http/cookie.h>
#include <treadle/http/form.h>
#include <treadle/http/json.h>
#include <treadle/http/query.h>
#include <treadle/http/request.h>
#include <treadle/http/response.h>
#include <treadle/http/status.h>
#include <treadle/net/tls_conn.h>

#include <charconv>
#include <string>

#include "tour.h"

namespace treadle::apps {
namespace {

using http::Request;
using http::Response;

void greet(Response& res, const Request& req) { res.print("Hello, {}!\n", req.path_value("name")); }

void show_rest(Response& res, const Request& req) {
  res.print("{{rest...}} is \"{}\"\n", req.path_value("rest"));
}

void show_query(Response& res, const Request& req) {
  const auto pairs = http::query_pairs(req);
  if (!pairs) return;  // malformed: answered with 400
  for (const http::QueryPair& p : *pairs) res.print("{} = {}\n", p.name, p.value);
}

// Fields of an urlencoded form or a multipart one; files are measured and thrown away.
void take_form(Response& res, const Request& req) {
  const auto form = http::read_form(req);
  if (!form) return;  // malformed, or too much: answered with 400, 413 or 415
  for (const http::QueryPair& f : form->fields()) res.print("{} = {}\n", f.name, f.value);
  for (const http::UploadedFile& f : form->files())
    res.print("{}: file \"{}\", {} bytes of {}{}\n", f.name(), f.display_name(), f.size(),
              f.content_type(), f.disk() ? ", on disk" : "");
}

void take_json(Response& res, const Request& req) {
  const auto value = http::read_json(req);
  if (!value) return;  // malformed, or nested too deep: answered with 400 or 413
  (void)http::write_json(res,
                         {{"type", value->type_name()}, {"size", value->size()}, {"you", *value}});
}

void count_visits(Response& res, const Request& req) {
  int visits = 0;
  if (const auto seen = http::cookie(req, "visits"))
    std::from_chars(seen->data(), seen->data() + seen->size(), visits);
  if (visits < 0 || visits > 1'000'000) visits = 0;
  http::set_cookie(res, {.name = "visits",
                         .value = std::to_string(visits + 1),
                         .path = "/cookie",
                         .max_age = std::chrono::hours(1),
                         .http_only = true,
                         .same_site = http::SameSite::lax});
  res.print("visit number {}\n", visits + 1);
}

void who_am_i(Response& res, const Request& req) {
  res.header("Cache-Control", "no-store");
  res.print("you are {}, by {}\nrequest id {}\nhost {}\n", req.remote_address().to_string(),
            req.secure() ? "https" : "http", req.id(), req.host());
  if (const net::TlsConn* tls = req.tls())
    res.print("{} with {}{}\n", tls->version(), tls->cipher(), tls->resumed() ? ", resumed" : "");
}

}  // namespace

void add_data_routes(http::Router& router) {
  router.handle("GET /hello/{name}", greet);
  router.handle("GET /rest/{rest...}", show_rest);
  router.handle("GET /query", show_query);
  router.handle("POST /form", take_form);
  router.handle("POST /json", take_json);
  router.handle("GET /cookie", count_visits);
  router.handle("GET /whoami", who_am_i);
  router.handle("GET /redirect", [](Response& res, const Request&) { res.redirect("/hello"); });
}

}  // namespace treadle::apps
