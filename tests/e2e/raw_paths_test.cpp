// Targets, paths and methods as raw bytes against a real server (RFC 9110 9.3, RFC 9112 3.2).
#include "raw_requests.h"

namespace treadle::test {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

std::string target(const std::string& text) {
  return "GET " + text + " HTTP/1.1\r\nHost: h\r\n\r\n";
}

// Routes behind a middleware that writes down the path it saw.
class Routed {
 public:
  http::Handler handler() {
    router_.handle("GET /{$}", describe_request);
    router_.handle("GET /seg/{one}", [](http::Response& res, const http::Request& req) {
      res.print("one={}", req.path_value("one"));
    });
    router_.handle("GET /rest/{all...}", [](http::Response& res, const http::Request& req) {
      res.print("all={}", req.path_value("all"));
    });
    router_.handle("GET /both", describe_request);
    router_.handle("POST /both", describe_request);
    router_.handle("POST /only", describe_request);
    router_.handle("GET /tree/", describe_request);
    router_.handle("GET special.example/whose",
                   [](http::Response& res, const http::Request&) { res.print("special"); });
    router_.handle("GET /whose",
                   [](http::Response& res, const http::Request&) { res.print("anybody's"); });
    return [this](http::Response& res, const http::Request& req) {
      seen_ = req.raw_path();
      router_.serve(res, req);
    };
  }
  // Of the last request; read it once that is answered.
  std::string seen() const { return seen_; }

 private:
  http::Router router_;
  std::string seen_;
};

TEST(RawPaths, TargetsOfAllFormsAreRead) {
  run([] {
    RunningServer server(http::Handler{describe_request});
    RawTable(server).run({
        {target("/"), 200, Fate::kept, "GET / host=h "},
        {target("/a%20b?c=d&e"), 200, Fate::kept, "GET /a%20b?c=d&e host=h "},
        {target("/?"), 200, Fate::kept, "GET / host=h "},
        {target("/a?b?c/../d"), 200, Fate::kept, "GET /a?b?c/../d host=h "},
        {target("/a:b@c,d;e=f!$&'()*+-._~"), 200, Fate::kept},
        {target("/a?[x]|{"), 400},
        {target("/a?[x]|y"), 200, Fate::kept},
        // Absolute-form: its authority rules over Host, which must still be there, once and valid.
        {target("http://other/a?b"), 200, Fate::kept, "GET /a?b host=other "},
        {target("HTTP://other:8080"), 200, Fate::kept, "GET / host=other:8080 "},
        {target("https://[::1]:443/x"), 200, Fate::kept, "GET /x host=[::1]:443 "},
        {target("hTTpS://h?q"), 200, Fate::kept, "GET /?q host=h "},
        {"GET http://h/ HTTP/1.1\r\n\r\n", 400},
        {"GET http://h/ HTTP/1.1\r\nHost:\r\n\r\n", 400},
        {"GET http://h/ HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400},
        {"GET http://h/ HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
        {"GET http://h/ HTTP/1.1\r\nHost: u@h\r\n\r\n", 400},
        // For the server as a whole.
        {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 204, Fate::kept},
        {"OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\n", 204, Fate::kept},
        {"OPTIONS http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 200, Fate::kept, "OPTIONS / host=h "},
        {"OPTIONS http://h?q HTTP/1.1\r\nHost: h\r\n\r\n", 200, Fate::kept, "OPTIONS /?q host=h "},
        {"OPTIONS * HTTP/1.1\r\n\r\n", 400},
        {"OPTIONS * HTTP/1.0\r\n\r\n", 204, Fate::closed},
    });
  });
}

TEST(RawPaths, TargetsThatAreNoneAre400) {
  run([] {
    RunningServer server(http::Handler{describe_request});
    RawTable table(server);
    table.run(each({"a",
                    "a/b",
                    "*",
                    "**",
                    "*/",
                    "h:80",
                    "ftp://a/",
                    "http:/a",
                    "http:a",
                    "http//a",
                    "://a/",
                    "//",
                    "http:///a",
                    "http://",
                    "http://u@h/",
                    "http://u:p@h/",
                    "http://@h/",
                    "http://h@/",
                    "http://h:x/",
                    "http://h:65536/",
                    "http://h:-1/",
                    "http://h:80:80/",
                    "http://[::1/",
                    "http://[]/",
                    "http://[::1]x/",
                    "http://[v1.a]/",
                    "http://[fe80::1%25e]/",
                    "http://a,b/",
                    "http://:80/",
                    "http://%zz/",
                    "http://a%00b/",
                    "http://a\\b/",
                    "http:\\\\a/",
                    "ws://a/",
                    "javascript:alert(1)",
                    "file:///etc/passwd",
                    "?x",
                    "#x",
                    "/a#b",
                    "/#",
                    "http://h/#b",
                    "/a\"b",
                    "/a<b",
                    "/a>b",
                    "/a\\b",
                    "\\a",
                    "/\\a",
                    "/a^b",
                    "/a`b",
                    "/a{b",
                    "/a}b",
                    "/a|b",
                    "/a[b]",
                    "/\x7f",
                    "/\x80",
                    "/\xc3\xa9",
                    "/\xff",
                    "/a\x01",
                    "/a\x1f",
                    "/a\tb",
                    "/?\x80",
                    "/?\"",
                    "/?<",
                    "/?\\",
                    "/?#"},
                   400, [](const std::string& text) {
                     return "PUT " + text + " HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
                   }));
    table.run(each({"/%", "/%4", "/%zz", "/%4g", "/%g4", "/a%", "/?%", "/?%x1", "/%%41", "/%u0041",
                    "/%00", "/a%00b", "/a/%00/b", "/%00/..", "http://h/%00", "/% 41"},
                   400, target));
    table.run({{"OPTIONS *x HTTP/1.1\r\nHost: h\r\n\r\n", 400},
               {"OPTIONS */ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
               {"OPTIONS *?q HTTP/1.1\r\nHost: h\r\n\r\n", 400}});
    EXPECT_EQ(server->stats().requests, 0U);
  });
}

TEST(RawPaths, SegmentsAreDecodedOnceAndApart) {
  run([] {
    Routed routed;
    RunningServer server(routed.handler());
    RawClient client(server.port());
    const auto body = [&](std::string_view path) { return client.roundtrip(get(path)).body; };
    EXPECT_EQ(body("/seg/a%2Fb"), "one=a/b");
    EXPECT_EQ(body("/seg/a%2fb"), "one=a/b");
    EXPECT_EQ(body("/seg/%252F"), "one=%2F");
    EXPECT_EQ(body("/seg/%2e%2e%2fx"), "one=../x");
    EXPECT_EQ(body("/seg/..%2fx"), "one=../x");
    EXPECT_EQ(body("/%73eg/x"), "one=x");
    EXPECT_EQ(body("/seg/a+b%2B"), "one=a+b+");
    EXPECT_EQ(body("/seg/%0d%0aX:%20y"), "one=\r\nX: y");
    EXPECT_EQ(body("/rest/a/b%2Fc/d/"), "all=a/b/c/d/");
    // An encoded slash parts nothing.
    EXPECT_EQ(client.roundtrip(get("/seg%2Fx")).status, 404);
    EXPECT_EQ(client.roundtrip(get("/%2F")).status, 404);
    EXPECT_EQ(client.roundtrip(get("/SEG/x")).status, 404);
  });
}

TEST(RawPaths, UncleanPathsAreRedirectedForGetAndHeadOnly) {
  run([] {
    Routed routed;
    RunningServer server(routed.handler());
    const std::vector<std::pair<std::string_view, std::string_view>> cases = {
        {"//", "/"},
        {"//evil.example", "/evil.example"},
        {"///evil.example/..//x", "/x"},
        {"/a//b", "/a/b"},
        {"/a/./b", "/a/b"},
        {"/a/../b", "/b"},
        {"/../../etc/passwd", "/etc/passwd"},
        {"/a/..", "/"},
        {"/.", "/"},
        {"/..", "/"},
        {"/a/.", "/a/"},
        {"/%2e", "/"},
        {"/%2e%2e/x", "/x"},
        {"/.%2E/x", "/x"},
        {"/%2e./x", "/x"},
        {"/a/%2e%2e/%2e%2e/b", "/b"},
        {"/.//evil.example", "/evil.example"},
        {"/%2e//evil.example", "/evil.example"},
        {"/a/..//evil.example", "/evil.example"},
        {"/%5cevil.example//x", "/%5cevil.example/x"},
        {"/./%5c/evil.example", "/%5c/evil.example"},
        {"/.//%2fevil.example", "/%2fevil.example"},
        {"/a//b?q=1&r=//x/../y", "/a/b?q=1&r=//x/../y"},
        {"/a//b?", "/a/b"},
        {"http://other//evil.example", "/evil.example"},
        {"http://other/a/../b?q", "/b?q"},
    };
    RawClient client(server.port());
    for (const auto& [path, clean] : cases) {
      for (const bool is_head : {false, true}) {
        const RawResponse r = is_head ? client.roundtrip(head(path), RawClient::Request::head)
                                      : client.roundtrip(get(path));
        EXPECT_EQ(r.status, 301) << path;
        const std::string location = r.header("Location").value_or("none");
        EXPECT_EQ(location, clean) << path;
        EXPECT_FALSE(location.starts_with("//") || location.starts_with("/\\")) << path;
      }
      for (std::string_view method : {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"}) {
        RawClient other(server.port());
        const RawResponse r = other.roundtrip(std::string(method) + " " + std::string(path) +
                                              " HTTP/1.1\r\nHost: h\r\n\r\n");
        EXPECT_EQ(r.status, 400) << method << ' ' << path;
        EXPECT_EQ(other.read_until_close(), "");
      }
    }
    EXPECT_EQ(server->stats().requests, 0U);
  });
}

TEST(RawPaths, MiddlewareSeesThePathThatTheRouterSees) {
  run([] {
    Routed routed;
    RunningServer server(routed.handler());
    RawClient client(server.port());
    for (std::string_view path : {"/both", "/seg/a%2Fb", "/nowhere", "/%62oth", "/tree"}) {
      client.roundtrip(get(path));
      EXPECT_EQ(routed.seen(), path);
    }
    client.roundtrip(get("http://other/both?x"));
    EXPECT_EQ(routed.seen(), "/both");
    client.roundtrip(get("/both/../whose"));
    EXPECT_EQ(routed.seen(), "/both") << "an unclean path reached the middleware";
  });
}

TEST(RawPaths, RoutesAnswerForMethodsTheyDoNotHave) {
  run([] {
    Routed routed;
    RunningServer server(routed.handler());
    RawClient client(server.port());
    const auto ask = [&](std::string_view method, std::string_view path) {
      const auto kind = method == "HEAD" ? RawClient::Request::head : RawClient::Request::other;
      return client.roundtrip(
          std::string(method) + " " + std::string(path) + " HTTP/1.1\r\nHost: h\r\n\r\n", kind);
    };
    struct Want {
      std::string_view method, path;
      int status;
      std::string_view allow;
    };
    for (const Want& want : std::initializer_list<Want>{
             {"PUT", "/both", 405, "GET, HEAD, POST"},
             {"TRACE", "/both", 405, "GET, HEAD, POST"},
             {"GET", "/only", 405, "POST"},
             {"HEAD", "/only", 405, "POST"},
             {"DELETE", "/seg/x", 405, "GET, HEAD"},
             {"OPTIONS", "/both", 204, "GET, HEAD, POST"},
             {"OPTIONS", "/only", 204, "POST"},
             {"OPTIONS", "http://h/only", 204, "POST"},
             {"OPTIONS", "/nowhere", 404, "none"},
             {"HEAD", "/both", 200, "none"},
             {"HEAD", "/nowhere", 404, "none"},
         }) {
      const RawResponse r = ask(want.method, want.path);
      EXPECT_EQ(r.status, want.status) << want.method << ' ' << want.path;
      EXPECT_EQ(r.header("Allow").value_or("none"), want.allow) << want.method << ' ' << want.path;
    }
    // What a HEAD says is what a GET says, and nothing follows it.
    const RawResponse is_head = ask("HEAD", "/both");
    const RawResponse is_get = ask("GET", "/both");
    EXPECT_EQ(is_head.header("Content-Type"), is_get.header("Content-Type"));
    EXPECT_EQ(is_get.body, "GET /both host=h ");
  });
}

TEST(RawPaths, AuthorityOfTheTargetPicksTheHost) {
  run([] {
    Routed routed;
    RunningServer server(routed.handler());
    RawClient client(server.port());
    const auto body = [&](std::string_view bytes) { return client.roundtrip(bytes).body; };
    EXPECT_EQ(body("GET /whose HTTP/1.1\r\nHost: special.example\r\n\r\n"), "special");
    EXPECT_EQ(body("GET /whose HTTP/1.1\r\nHost: SPECIAL.example:81\r\n\r\n"), "special");
    EXPECT_EQ(body("GET /whose HTTP/1.1\r\nHost: other\r\n\r\n"), "anybody's");
    EXPECT_EQ(body("GET http://special.example/whose HTTP/1.1\r\nHost: other\r\n\r\n"), "special");
    EXPECT_EQ(body("GET http://other/whose HTTP/1.1\r\nHost: special.example\r\n\r\n"),
              "anybody's");
  });
}

}  // namespace
}  // namespace treadle::test
