// hold: opens many connections to an HTTP server, asks one thing on each, and keeps them all idle
// until a line comes on standard input. Then each must answer once more.
#include <cstdio>
#include <memory>
#include <string>

#include "driver.h"
#include "flags.h"
#include "keep_alive.h"

int main(int argc, char** argv) {
  load::Flags flags(argc, argv,
                    std::string("usage: hold --port N [flags]\n"
                                "  --connections N  to hold (1000)\n"
                                "  --tls         over TLS, without checking the certificate\n"
                                "prints \"ready\" once all are held; a line makes it ask again\n") +
                        load::Request::usage);
  load::Target target =
      load::target_from(flags, flags.given("tls") ? load::make_client_context() : nullptr);
  const load::Request request = load::Request::from(flags, target.port, false);
  const auto connections = flags.integer("connections", 1000, 1, 100000);
  flags.done();

  load::Plan plan;
  plan.gate = true;
  load::Driver driver(plan);
  target.epoll = driver.epoll();
  for (int i = 0; i < connections; ++i)
    driver.add(std::make_unique<load::KeepAlive>(target, request));
  driver.once(64);
  driver.gate("ready");
  driver.once(64);
  std::printf("{\"held\":%lld,\"errors\":0,\"error\":\"\"}\n", static_cast<long long>(connections));
  return 0;
}
