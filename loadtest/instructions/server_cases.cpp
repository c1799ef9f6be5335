// Requests to a server with every default: limits, time-outs, no access log.
#include <fcntl.h>
#include <sys/stat.h>

#include <treadle/go.h>
#include <treadle/http/file_server.h>
#include <treadle/http/json.h>
#include <treadle/http/server.h>

#include <cstdlib>
#include <fstream>
#include <memory>

#include "cases.h"
#include "client.h"

namespace instructions {

namespace {

namespace http = treadle::http;

// The folder that is served: TMPDIR, which run.sh makes and takes away. Other cases serve it too,
// and ask for none of its files.
std::string folder_with_file() {
  const char* set = std::getenv("TMPDIR");
  const std::string path = set && *set ? set : "/tmp";
  const std::string name = path + "/treadle-1k.bin";
  std::ofstream file(name, std::ios::binary | std::ios::trunc);
  file << std::string(1024, 'x');
  file.close();
  // An old one: a file changed within the last seconds has a weak, that is longer, entity tag.
  const timespec old[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
  if (!file || ::utimensat(AT_FDCWD, name.c_str(), old, 0) != 0) give_up("cannot write " + name);
  return path;
}

http::Router routes(const std::string& root) {
  http::Router router;
  router.handle("GET /plaintext", [](http::Response& res, const http::Request&) {
    res.content_type("text/plain").write("Hello, World!");
  });
  router.handle("GET /json", [](http::Response& res, const http::Request&) {
    (void)http::write_json(res, {{"message", "Hello, World!"}});
  });
  router.handle("POST /echo", [](http::Response& res, const http::Request& req) {
    auto body = req.body().read_all();
    if (body) res.content_type("application/octet-stream").write(*body);
  });
  router.handle("GET /files/{path...}", http::file_server(root));
  return router;
}

struct Serving {
  http::Server server{{.address = "127.0.0.1:0"}, routes(folder_with_file())};
  std::unique_ptr<Clients> clients;

  explicit Serving(Exchange exchange) {
    if (auto r = server.listen(); !r) give_up("cannot listen: " + r.error().message());
    treadle::go([this] { (void)server.serve(); });
    clients = std::make_unique<Clients>(server.address().port(), std::move(exchange));
  }
};

Body serve(Exchange exchange) {
  auto serving = std::make_shared<Serving>(std::move(exchange));
  return [serving](std::int64_t n) { serving->clients->drive(n); };
}

std::string get(std::string_view path) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
}

// The fields that a desktop browser sends when somebody opens a page.
std::string browser_get(std::string_view path) {
  return "GET " + std::string(path) +
         " HTTP/1.1\r\n"
         "Host: 127.0.0.1:8080\r\n"
         "Connection: keep-alive\r\n"
         "Cache-Control: max-age=0\r\n"
         "sec-ch-ua: \"Chromium\";v=\"128\", \"Not;A=Brand\";v=\"24\"\r\n"
         "sec-ch-ua-mobile: ?0\r\n"
         "sec-ch-ua-platform: \"Linux\"\r\n"
         "Upgrade-Insecure-Requests: 1\r\n"
         "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
         "Chrome/128.0.0.0 Safari/537.36\r\n"
         "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
         "*/*;q=0.8\r\n"
         "Sec-Fetch-Site: none\r\n"
         "Sec-Fetch-Mode: navigate\r\n"
         "Sec-Fetch-User: ?1\r\n"
         "Sec-Fetch-Dest: document\r\n"
         "Accept-Encoding: gzip, deflate, br, zstd\r\n"
         "Accept-Language: en-GB,en;q=0.9\r\n"
         "\r\n";
}

std::string post_1k() {
  return "POST /echo HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"
         "Content-Type: application/octet-stream\r\nContent-Length: 1024\r\n\r\n" +
         std::string(1024, 'x');
}

constexpr std::int64_t kStep = Clients::kConnections;

}  // namespace

std::vector<Case> server_cases() {
  return {
      {"plaintext", 20 * kStep, kStep, [] { return serve({.request = get("/plaintext")}); }},
      {"plaintext-browser", 20 * kStep, kStep,
       [] { return serve({.request = browser_get("/plaintext")}); }},
      {"pipelined-16", 4 * 16 * kStep, 16 * kStep,
       [] { return serve({.request = get("/plaintext"), .depth = 16}); }},
      {"json", 20 * kStep, kStep, [] { return serve({.request = get("/json")}); }},
      {"echo-1k", 20 * kStep, kStep, [] { return serve({.request = post_1k()}); }},
      {"file-1k", 20 * kStep, kStep,
       [] { return serve({.request = get("/files/treadle-1k.bin")}); }},
      {"not-found", 20 * kStep, kStep,
       [] { return serve({.request = get("/nothing"), .status = 404}); }},
  };
}

}  // namespace instructions
