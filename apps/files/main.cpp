// treadle-files: serves the files of a directory.
#include <treadle/http/file_server.h>
#include <treadle/http/server.h>

#include <string>

#include "rules.h"
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
  apps::add_root(settings, root, "directory to serve");
  settings.key("files.index", apps::text_value(files.index), "file that stands for its directory");
  settings.key("files.listing", apps::bool_value(files.listing),
               "list directories without an index");
  settings.key("files.cache_control", apps::text_value(files.cache_control),
               "Cache-Control of files that no rule names; empty: none");
  settings.key("files.cache_control_rules",
               apps::cache_control_rules_value(files.cache_control_rules),
               "lines of PATTERN: CACHE-CONTROL; the first that fits counts");
  settings.key("files.mime_types", apps::mime_types_value(files.mime_types),
               "lines of EXTENSION: TYPE, before the built-in ones");
  settings.key("files.precompressed", apps::bool_value(files.precompressed),
               "send NAME.br, NAME.zst and NAME.gz for NAME where they are accepted");
  settings.key("files.max_listed", apps::count_value(files.max_listed, 1, 1'000'000),
               "names in one list of a directory");
  settings.key("files.open_files", apps::count_value(files.open_files, 0, 1'000'000),
               "descriptors kept open for a second; 0: none");
  settings.key("files.etag_secret", apps::text_value(files.etag_secret),
               "makes entity tags hard to guess the inode from; alike on all servers of a site");
  if (auto exit_code = settings.parse(argc, argv)) return *exit_code;

  http::Router router;
  router.handle("GET /{path...}", http::file_server(root, files));
  return http::listen_and_serve(options, router, apps::serve_hooks(settings, options));
}
