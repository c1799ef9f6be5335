// treadle-hello: the smallest HTTP server; load tests use it.
#include <treadle/http/server.h>

#include "server_settings.h"

namespace apps = treadle::apps;
namespace http = treadle::http;

int main(int argc, char** argv) {
  http::ServerOptions options;
  apps::Settings settings("treadle-hello",
                          "The smallest HTTP server: GET /hello, GET /hello/{name}.");
  apps::add_server(settings, options);
  if (auto exit_code = settings.parse(argc, argv)) return *exit_code;

  http::Router router;
  router.handle("GET /hello", [](http::Response& res, const http::Request&) {
    res.content_type("text/plain").write("Hello, World!");
  });
  router.handle("GET /hello/{name}", [](http::Response& res, const http::Request& req) {
    res.print("Hello, {}!\n", req.path_value("name"));
  });
  return http::listen_and_serve(options, router, apps::serve_hooks(settings, options));
}
