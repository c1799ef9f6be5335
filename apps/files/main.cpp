// treadle-files: serves the files of a directory.
#include <treadle/http/file_server.h>
#include <treadle/http/server.h>

#include <string>

#include "server_settings.h"

namespace apps = treadle::apps;
namespace http = treadle::http;

int main(int argc, char** argv) {
  http::ServerOptions options;
  http::FileServerOptions files;
  std::string root = ".";
  apps::Settings settings("treadle-files",
                          "Static file server: ranges, conditional requests, sendfile.");
  apps::add_server(settings, options);
  settings.flag("root", "DIR", apps::text_value(root), "directory to serve");
  settings.key("files.index", apps::text_value(files.index), "file that stands for its directory");
  settings.key("files.listing", apps::bool_value(files.listing),
               "list directories without an index");
  settings.key("files.cache_control", apps::text_value(files.cache_control),
               "Cache-Control of every file; empty: none");
  if (auto exit_code = settings.parse(argc, argv)) return *exit_code;
  if (auto exit_code = apps::check_root(settings, root)) return *exit_code;

  http::Router router;
  router.handle("GET /{path...}", http::file_server(root, files));
  return http::listen_and_serve(options, router, apps::serve_hooks(settings, options));
}
