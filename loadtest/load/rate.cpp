// rate: asks an HTTP server (or a TCP echo server) the same thing over kept connections, at a fixed
// rate or as fast as it answers, checks every answer, and prints one line of JSON.
#include <memory>
#include <string>

#include "driver.h"
#include "flags.h"
#include "keep_alive.h"

int main(int argc, char** argv) {
  load::Flags flags(argc, argv,
                    std::string("usage: rate --port N [flags]\n"
                                "  --connections N  kept ones (64)\n"
                                "  --tls         over TLS, without checking the certificate\n"
                                "  --raw N       no HTTP: send N bytes, which must come back\n") +
                        load::Request::usage + load::Driver::usage);
  const load::Plan plan = load::Plan::from(flags);
  load::Target target =
      load::target_from(flags, flags.given("tls") ? load::make_client_context() : nullptr);
  load::Request request = load::Request::from(flags, target.port, false);
  const auto raw = flags.integer("raw", 0, 0, 1 << 20);
  const auto connections = flags.integer("connections", 64, 1, 100000);
  flags.done();
  if (raw > 0) {
    request.raw = true;
    request.bytes.assign(static_cast<std::size_t>(raw), 'e');
  }

  load::Driver driver(plan);
  target.epoll = driver.epoll();
  for (int i = 0; i < connections; ++i)
    driver.add(std::make_unique<load::KeepAlive>(target, request));
  driver.once(128);
  driver.measure();
  return driver.errors() == 0 ? 0 : 1;
}
