// pure: what a reload cannot change, and how many connections fit.
#include "fixed_options.h"

#include <gtest/gtest.h>

#include "accept_loop.h"

namespace treadle::http::detail {
namespace {

using Names = std::vector<std::string_view>;

TEST(FixedOptions, WhatCanChangeIsNotNamed) {
  ServerOptions a;
  ServerOptions b;
  b.idle_timeout = std::chrono::seconds(1);
  b.limits.body = 1;
  b.trusted_proxies = {"::1"};
  b.max_requests_per_connection = 5;
  EXPECT_EQ(fixed_differences(a, a), Names{});
  EXPECT_EQ(fixed_differences(a, b), Names{});
}

TEST(FixedOptions, WhatCannotIsNamedByItsKey) {
  ServerOptions a;
  ServerOptions b;
  b.address = ":1";
  b.procs = 3;
  b.user = "nobody";
  b.max_connections = 5;
  EXPECT_EQ(fixed_differences(a, b),
            (Names{"listen", "procs", "server.user", "server.max_connections"}));
  b = a;
  b.endpoints.push_back({.address = ":2"});
  EXPECT_EQ(fixed_differences(a, b), Names{"endpoint"});
  a = b;
  b.endpoints[0].proxy_protocol = true;
  b.tls.emplace();
  EXPECT_EQ(fixed_differences(a, b), (Names{"endpoint", "tls"}));
}

TEST(FixedOptionsCap, HalfOfWhatIsLeft) {
  EXPECT_EQ(connection_limit({}, 1024), 448U);
  EXPECT_EQ(connection_limit({}, 130), 1U);
  EXPECT_EQ(connection_limit({}, 132), 2U);
  EXPECT_EQ(connection_limit({}, 0), 1U);
  EXPECT_EQ(connection_limit({}, ~0ULL), std::size_t{1} << 30);
}

}  // namespace
}  // namespace treadle::http::detail
