#include <treadle/http/request_copy.h>

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "e2e/http_fixture.h"

namespace treadle::test {

TEST(RequestCopy, OutlivesTheHandlerWithAllThatItSaid) {
  run([] {
    std::optional<http::RequestCopy> kept;
    http::Router router;
    router.handle("/notes/{id}/{rest...}",
                  [&](http::Response&, const http::Request& req) { kept = http::clone(req); });
    net::SocketAddress client_address;
    {
      RunningServer server(router);
      RawClient client(server.port());
      client.roundtrip(
          get("/notes/a%20b/c/d%2Fe?x=1+2&y=3", "X-Long: " + std::string(500, 'v') + "\r\n"));
      client_address =
          *net::SocketAddress::parse("127.0.0.1:" + std::to_string(client.local_port()));
      // The next request takes the buffers of the one before.
      client.roundtrip(get("/zzzzzzzzzzzzzzzzzzzzzzzzzzzzz?zzzzzzzzzzzzzz", "Z: zzzzzzzzzzz\r\n"));
    }
    ASSERT_TRUE(kept.has_value());
    const http::RequestCopy copy = *kept;
    kept.reset();
    EXPECT_EQ(copy.method(), "GET");
    EXPECT_EQ(copy.target(), "/notes/a%20b/c/d%2Fe?x=1+2&y=3");
    EXPECT_EQ(copy.raw_path(), "/notes/a%20b/c/d%2Fe");
    EXPECT_EQ(copy.path(), "/notes/a b/c/d/e");
    EXPECT_EQ(copy.raw_query(), "x=1+2&y=3");
    EXPECT_EQ(copy.query("x"), "1 2");
    EXPECT_FALSE(copy.query("z").has_value());
    EXPECT_EQ(copy.minor_version(), 1);
    EXPECT_EQ(copy.host(), "localhost");
    EXPECT_EQ(copy.header("x-long"), std::string(500, 'v'));
    EXPECT_EQ(copy.headers().size(), 2u);
    EXPECT_EQ(copy.path_value("id"), "a b");
    EXPECT_EQ(copy.path_value("rest"), "c/d/e");
    EXPECT_EQ(copy.path_value("none"), "");
    EXPECT_EQ(copy.remote_address(), client_address);
  });
}

TEST(RequestCopy, CopiesShareWhatTheySay) {
  run([] {
    std::optional<http::RequestCopy> kept;
    RunningServer server(
        http::Handler{[&](http::Response&, const http::Request& req) { kept = http::clone(req); }});
    fetch(server.port(), get("/a"));
    const http::RequestCopy copy = *kept;
    EXPECT_EQ(copy.target().data(), kept->target().data());
  });
}

}  // namespace treadle::test
