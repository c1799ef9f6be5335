// Uses something of each module, so that a library missing at the link shows.
#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/http/server.h>
#include <treadle/net/tcp.h>
#include <treadle/net/tls.h>
#include <treadle/runtime.h>

int main() {
  int code = 1;
  treadle::run([&] {
    auto done = treadle::make_chan<bool>();
    treadle::http::Router router;
    router.handle("GET /", [](treadle::http::Response& res, const treadle::http::Request&) {
      res.print("hello\n");
    });
    treadle::http::Server server({.address = "127.0.0.1:0"}, router);
    if (!server.listen() || !treadle::net::TlsClient::create()) return;
    treadle::go([done, address = server.address()] {
      done.send(treadle::net::dial_tcp(address).has_value());
    });
    code = done.recv().value_or(false) ? 0 : 1;
  });
  return code;
}
