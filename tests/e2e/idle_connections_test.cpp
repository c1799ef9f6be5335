// serial: treadle-demo with many idle connections, held by treadle-hold.
#include <gtest/gtest.h>

#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <string>

#include "e2e/app.h"

namespace treadle::test {
namespace {

// 10,000, or as many as the server takes with the descriptors it may have.
long connections_to_hold() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return 500;
  return std::min<long>(10'000, (static_cast<long>(files.rlim_max) - 128) / 2 - 10);
}

// Every connection is answered once, stays open while another one is served, and is answered again.
TEST(IdleConnections, AreHeldWhileAnotherIsServed) {
  const long connections = connections_to_hold();
  ASSERT_GE(connections, 200) << "the hard limit on open files is too low for this test";
  App demo("treadle-demo");
  ASSERT_NE(demo.port(), 0);
  const Finished hold = [&] {
    Process process(app_command("treadle-hold", {"127.0.0.1:" + std::to_string(demo.port()),
                                                 "/hello", std::to_string(connections), "500"}));
    const int exit_code = process.wait(std::chrono::seconds(90)).value_or(-1);
    return Finished{exit_code, process.output()};
  }();
  EXPECT_EQ(hold.exit_code, 0) << hold.output;
  EXPECT_NE(hold.output.find("HELD connections=" + std::to_string(connections)), std::string::npos)
      << hold.output;
  EXPECT_EQ(demo.stop(SIGTERM), 0);
}

}  // namespace
}  // namespace treadle::test
