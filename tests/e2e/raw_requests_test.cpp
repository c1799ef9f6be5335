// Request lines, field lines and limits as raw bytes against a real server (RFC 9112 2 to 5).
#include "raw_requests.h"

#include <fmt/format.h>

namespace treadle::test {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

std::string line(const std::string& text) { return text + "\r\nHost: h\r\n\r\n"; }
std::string fields(const std::string& lines) {
  return "GET / HTTP/1.1\r\nHost: h\r\n" + lines + "\r\n";
}
std::string host(const std::string& lines) { return "GET / HTTP/1.1\r\n" + lines + "\r\n"; }

TEST(RawRequests, OrdinaryRequestsAreAnsweredAndKept) {
  run([] {
    RunningServer server(http::Handler{describe_request});
    RawTable(server).run({
        {get("/a?b"), 200, Fate::kept, "GET /a?b host=localhost "},
        {"\r\n" + get("/"), 200, Fate::kept, "GET / host=localhost "},
        {"\r\n\r\n" + get("/"), 200, Fate::kept, "GET / host=localhost "},
        {post("/p", "body"), 200, Fate::kept, "POST /p host=localhost body"},
        {fields("X-Empty:\r\nX-Tab:\ta\tb\t\r\nx: \xff\r\n"), 200, Fate::kept, "GET / host=h "},
        {fields("Connection: close\r\n"), 200, Fate::closed, "GET / host=h "},
        {fields("Connection: x, Close\t\r\n"), 200, Fate::closed},
        {fields("Connection: keep-alive, close\r\n"), 200, Fate::closed},
        {fields("Proxy-Connection: close\r\n"), 200, Fate::kept},
        {fields("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"),
         200, Fate::kept, "GET / host=h "},
        {fields("Connection: upgrade\r\nUpgrade: websocket\r\n"), 200, Fate::kept},
        // HTTP/1.0 (RFC 9112 9.3, RFC 9110 2.5).
        {"GET /old HTTP/1.0\r\n\r\n", 200, Fate::closed, "GET /old host= "},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, Fate::kept, "GET / host= "},
        {"GET / HTTP/1.0\r\nHost: h\r\nConnection: Keep-Alive, close\r\n\r\n", 200, Fate::closed},
        {"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nab", 200, Fate::closed, "POST / host= ab"},
        {"GET http://a/b HTTP/1.0\r\n\r\n", 200, Fate::closed, "GET /b host=a "},
    });
  });
}

TEST(RawRequests, MalformedRequestLinesAre400) {
  run([] {
    RunningServer server(http::Handler{describe_request});
    RawTable table(server);
    table.run(each({"GET  / HTTP/1.1",
                    "GET /  HTTP/1.1",
                    "GET / HTTP/1.1 ",
                    " GET / HTTP/1.1",
                    "\tGET / HTTP/1.1",
                    "GET\t/ HTTP/1.1",
                    "GET /\tHTTP/1.1",
                    "GET / HTTP/1.1\t",
                    "GET\v/ HTTP/1.1",
                    "GET /\fHTTP/1.1",
                    "GET",
                    "GET ",
                    "GET /",
                    "GET / ",
                    "GET /a b HTTP/1.1",
                    "GET /HTTP/1.1",
                    "GET / HTTP/1.1 x",
                    "GET / x HTTP/1.1",
                    "GET / http/1.1",
                    "GET / HTTP/1",
                    "GET / HTTP/1.",
                    "GET / HTTP/1.10",
                    "GET / HTTP/11",
                    "GET / HTTP/1,1",
                    "GET / HTTP/01.1",
                    "GET / HTTP/1.1x",
                    "GET / HTP/1.1",
                    "GET / HTTP 1.1",
                    "GET / HTTP/-1.1",
                    "GET / HTTP/+1.1",
                    "GET / HTTP/a.b",
                    "GET / ICE/1.0",
                    "GET / RTSP/1.0",
                    "GET / HTTPS/1.1",
                    "GET/ HTTP/1.1",
                    "G=T / HTTP/1.1",
                    "G(T / HTTP/1.1",
                    "G\xc3T / HTTP/1.1",
                    "\"GET / HTTP/1.1",
                    "GET, / HTTP/1.1",
                    "GET\0 / HTTP/1.1"sv,
                    "GET /\0 HTTP/1.1"sv,
                    "\0GET / HTTP/1.1"sv,
                    "GET / HTTP/1.1\0"sv},
                   400, line));
    table.run(each({"GET /\n\n", "GET / HTTP/1.1\n\n", "GET / HTTP/1.1\nHost: h\n\n",
                    "GET / HTTP/1.1\nHost: h\r\n\r\n", "GET / HTTP/1.1\r\r\nHost: h\r\n\r\n",
                    "GET / HTTP/1.1\rHost: h\r\n\r\n", "GET / HTTP/1.1\n\rHost: h\r\n\r\n",
                    "GET / HTTP/1.1\r\n\n", "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
                    "\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", "\r\r\nGET / HTTP/1.1\r\n",
                    "\r\n\r\n\r\nGET / HTTP/1.1\r\n", "\r\n\nGET / HTTP/1.1\r\n", "\n\n\n\n"},
                   400, [](const std::string& all) { return all; }));
  });
}

TEST(RawRequests, MethodsOutsideTheTableAre501) {
  run([] {
    RunningServer server(http::Handler{describe_request});
    RawTable table(server);
    table.run(each({"get", "Get", "GETT", "G", "QUERY", "FOO", "SETUP", "DESCRIBE", "ABCDEFGHIJKLM",
                    "M_SEARCH", "X-Y", "GE%54"},
                   501, [](const std::string& method) { return line(method + " / HTTP/1.1"); }));
    table.run({
        {line("CONNECT example.org:443 HTTP/1.1"), 501},
        {line("CONNECT / HTTP/1.1"), 501},
        {"CONNECT h:1 HTTP/1.0\r\n\r\n", 501},
        {"CONNECT h:1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501},
        {"CONNECT h:1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", 501},
    });
  });
}

TEST(RawRequests, VersionsOtherThanOneAre505) {
  run([] {
    RunningServer server(http::Handler{describe_request});
    RawTable(server).run(
        each({"HTTP/0.9", "HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/3.0", "HTTP/0.0", "HTTP/9.9"},
             505, [](const std::string& v) { return line("GET / " + v); }));
  });
}

TEST(RawRequests, OtherProtocolsAreRefusedCleanly) {
  run([] {
    RunningServer server(http::Handler{describe_request});
    const std::string hello =
        "\x16\x03\x01\x00\xf8\x01\x00\x00\xf4\x03\x03"s + pattern(238) + "\r\n";
    RawTable(server).run({
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\4\0\0\0\0\0"s, 505},
        {"PRI * HTTP/2.0\r\n\r\n", 505, Fate::closed, "", false, true},
        {hello, 400},
        {"\x16\x03\x01"s, 400, Fate::closed, "", false, true},
        {"\x80\x2e\x01\x03\x01"s, 400},  // SSL 2
        {"\5\1\0"s, 400},                // SOCKS 5
        {"\4\1\0\x50\1\2\3\4\0"s, 400},  // SOCKS 4
        {"SSH-2.0-OpenSSH_9.2\r\n", 501},
        {"EHLO example.org\r\n", 501},
        {"\0\0\0\x2f"s, 400},
        {"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", 501},  // not asked for here
        {"\r\n\r\n\0\r\nQUIT\n"s, 400},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 400},
        {"<html>\r\n", 400},
        {"{}\r\n", 400},
    });
  });
}

TEST(RawRequests, MalformedFieldLinesAre400) {
  run([] {
    RunningServer server(http::Handler{describe_request});
    RawTable(server).run(each(
        {": v\r\n", ":\r\n", "a b: c\r\n", "a : c\r\n", "a\t: c\r\n", "a\r\n", "a b\r\n",
         "(a): b\r\n", "a@b: c\r\n", "a[0]: b\r\n", "\xc3\xa9: b\r\n", "a/b: c\r\n", "\"a\": b\r\n",
         "a;b: c\r\n", "a{}: c\r\n", "a\\: c\r\n", "a=b: c\r\n", "a,b: c\r\n", "a?: b\r\n",
         // obs-fold
         " a: b\r\n", "\ta: b\r\n", "a: b\r\n c\r\n", "a: b\r\n\tc\r\n", "a: b\r\n \r\n",
         "a:\r\n b\r\n", "a\r\n : b\r\n",
         // bare CR and bare LF
         "a: b\n", "a: b\nc: d\r\n", "a: b\rc: d\r\n", "a: b\r\r\n", "a: b\r\n\r\r\n", "a: b\n\r\n",
         "a\r: b\r\n", "a\n: b\r\n", "a:\rb\r\n", "a:\nb\r\n", "\ra: b\r\n", "\na: b\r\n", "\n",
         "\r", "\r\r\n",
         // controls
         "a: \0\r\n"sv, "a\0: b\r\n"sv, "\0: b\r\n"sv, "a: b\0"sv, "a: \x01\r\n", "a: \x1b\r\n",
         "a: \x7f\r\n", "a: \v\r\n", "a: \f\r\n", "a: b\b\r\n", "\x7f: b\r\n"},
        400, fields));
  });
}

TEST(RawRequests, StrayLineEndOrNulAtAnyByteOfAHeadIs400) {
  run([] {
    RunningServer server(http::Handler{describe_request});
    const std::string head = "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nA: b c\r\n\r\n";
    RawTable table(server);
    table.whole_only();
    for (const char stray : {'\r', '\n', '\0'}) {
      // An LF behind the last CR is that of the empty line, and the one pushed out begins the body.
      const std::size_t end = head.size() - (stray == '\n' ? 1 : 0);
      for (std::size_t at = 0; at < end; ++at) {
        std::string inserted = head;
        inserted.insert(at, 1, stray);
        table.run({inserted + "ok", 400});
      }
    }
    // One byte of a line end missing.
    for (std::size_t at = 0; at < head.size(); ++at) {
      if (head[at] != '\r' && head[at] != '\n') continue;
      std::string without = head;
      without.erase(at, 1);
      table.run({without + "ok", 400});
    }
  });
}

TEST(RawRequests, HostMustBeThereOnceAndValid) {
  run([] {
    RunningServer server(http::Handler{describe_request});
    RawTable table(server);
    table.run(each({"",
                    "Host:\r\n",
                    "Host: \t\r\n",
                    "Host: a\r\nHost: a\r\n",
                    "Host: a\r\nhOST: b\r\n",
                    "Host: a b\r\n",
                    "Host: a,b\r\n",
                    "Host: a, a\r\n",
                    "Host: a/b\r\n",
                    "Host: http://a\r\n",
                    "Host: u@a\r\n",
                    "Host: a:b\r\n",
                    "Host: a:80:80\r\n",
                    "Host: a:65536\r\n",
                    "Host: a:-1\r\n",
                    "Host: :80\r\n",
                    "Host: [::1\r\n",
                    "Host: ::1\r\n",
                    "Host: [::1]a\r\n",
                    "Host: [:::1]\r\n",
                    "Host: [1.2.3.4]\r\n",
                    "Host: [::1%eth0]\r\n",
                    "Host: a%\r\n",
                    "Host: \"a\"\r\n",
                    "Host: a\\b\r\n",
                    "Host: a?b\r\n",
                    "Host: a#b\r\n",
                    "Host: <a>\r\n",
                    "Host: \xc3\xa9\r\n",
                    "Host: a\0b\r\n"sv,
                    "Host : a\r\n",
                    " Host: a\r\n",
                    "Host\r\n",
                    "Host a\r\n",
                    "X: y\r\n Host: a\r\n",
                    "Xhost: a\r\n"},
                   400, host));
    table.run(each(
        {"Host: a", "Host: EXAMPLE.org:80", "Host: 127.0.0.1:8080", "Host: [::1]:80", "Host:a",
         "host: a.", "HOST:\ta-b_c.d~e \t", "Host: a:"},
        200, [](const std::string& field) { return host(field + "\r\n"); }, Fate::kept));
  });
}

TEST(RawRequests, ExpectationsOtherThanContinueAre417) {
  run([] {
    RunningServer server(http::Handler{describe_request});
    RawTable table(server);
    table.run(each({"200-ok", "100-continue, x", "x, 100-continue", "100-continue;q=1", "100",
                    "\"100-continue\"", "100-continue x", "100-continue\r\nExpect: y"},
                   417, [](const std::string& value) {
                     return "POST / HTTP/1.1\r\nHost: h\r\nExpect: " + value +
                            "\r\nContent-Length: 2\r\n\r\nok";
                   }));
    // Where there is no body there is nothing to wait for, and HTTP/1.0 knows no 100.
    table.run({
        {fields("Expect: 100-continue\r\n"), 200, Fate::kept, "GET / host=h "},
        {fields("Expect:\r\n"), 200, Fate::kept},
        {"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n", 200,
         Fate::kept, "POST / host=h "},
        {"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok", 200,
         Fate::closed, "POST / host= ok"},
    });
  });
}

TEST(RawRequests, LinesHeadsAndFieldsBeyondTheirLimitsAreRefused) {
  run([] {
    RunningServer server(http::Handler{describe_request});
    RawTable table(server);
    const std::string target(8 * 1024 - "GET / HTTP/1.1"sv.size(), 'a');
    const std::string value(31 * 1024, 'v');
    std::string most;
    for (int i = 0; i < 99; ++i) most += fmt::format("X{}:\r\n", i);
    table.run({
        {line("GET /" + target + " HTTP/1.1"), 200, Fate::kept},
        {line("GET /" + target + "a HTTP/1.1"), 414},
        {"GET /" + std::string(100'000, 'a'), 414},
        {"GET /?" + std::string(100'000, '&') + " HTTP/1.1\r\nHost: h\r\n\r\n", 414},
        {line("GET http://" + std::string(9000, 'h') + "/ HTTP/1.1"), 414},
        {fields("X: " + value + "\r\n"), 200, Fate::kept},
        {fields("X: " + value + value + "\r\n"), 431},
        {fields(std::string(40'000, 'n') + ": v\r\n"), 431},
        {"GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(100'000, 'v'), 431},
        {fields(most), 200, Fate::kept},
        {fields(most + "Y:\r\n"), 431},
        {fields(most + most), 431},
    });
  });
}

TEST(RawRequests, HeadsThatEndEarlyAre400) {
  run([] {
    RunningServer server(http::Handler{describe_request});
    RawTable table(server);
    for (std::string_view start :
         {"G"sv, "GET "sv, "GET / HTTP/1.1"sv, "GET / HTTP/1.1\r"sv, "GET / HTTP/1.1\r\n"sv,
          "GET / HTTP/1.1\r\nHost: h"sv, "GET / HTTP/1.1\r\nHost: h\r\n"sv,
          "GET / HTTP/1.1\r\nHost: h\r\n\r"sv})
      table.run({std::string(start), 400, Fate::closed, "", true});
    EXPECT_EQ(server->stats().requests, 0U);
  });
}

TEST(RawRequests, NothingButAnEndIsNoRequest) {
  run([] {
    RunningServer server(http::Handler{describe_request});
    for (std::string_view bytes : {""sv, "\r\n"sv, "\r\n\r\n"sv}) {
      RawClient client(server.port());
      client.send(bytes);
      client.shutdown_write();
      EXPECT_EQ(client.read_until_close(), "") << shown(bytes);
    }
    EXPECT_EQ(server->stats().refused, 0U);
  });
}

}  // namespace
}  // namespace treadle::test
