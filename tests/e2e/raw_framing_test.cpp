// Message framing as raw bytes against a real server: every known way of having two parties see
// different messages is refused, and what is accepted ends where it says (RFC 9112 6, 7, 11).
#include <fmt/format.h>

#include "raw_requests.h"

namespace treadle::test {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

// A POST with these field lines and a body that would be whole for either framing: five bytes.
std::string framed(const std::string& fields, std::string_view version = "HTTP/1.1") {
  return "POST / " + std::string(version) + "\r\nHost: h\r\n" + fields + "\r\n0\r\n\r\n";
}
std::string chunks(const std::string& body) {
  return "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + body;
}
std::string lengths(const std::string& value) {
  return framed("Content-Length: " + value + "\r\n");
}
std::string codings(const std::string& value) {
  return framed("Transfer-Encoding: " + value + "\r\n");
}

TEST(RawFraming, BodiesEndWhereTheySay) {
  run([] {
    RunningServer server(http::Handler{describe_request});
    RawTable(server).run({
        {lengths("5"), 200, Fate::kept, "POST / host=h 0\r\n\r\n"},
        {lengths("\t0005 \t"), 200, Fate::kept, "POST / host=h 0\r\n\r\n"},
        {codings("chunked"), 200, Fate::kept, "POST / host=h "},
        {codings(" CHUNKED\t"), 200, Fate::kept, "POST / host=h "},
        {chunks("5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"), 200, Fate::kept, "POST / host=h hello!"},
        {chunks("2\r\n\r\n\r\n000\r\n\r\n"), 200, Fate::kept, "POST / host=h \r\n"},
        {chunks("0000000000000002\r\nok\r\n0\r\n\r\n"), 200, Fate::kept, "POST / host=h ok"},
        {chunks("A;a=b;c\r\n0123456789\r\n0;d=\"e f\"\r\n\r\n"), 200, Fate::kept,
         "POST / host=h 0123456789"},
        {chunks("1\r\na\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n"), 200, Fate::kept,
         "POST / host=h [X-Sum=1] [Y=] a"},
        // Any method may have one, and without framing fields there is none.
        {"GET /g HTTP/1.1\r\nHost: h\r\nContent-Length: 38\r\n\r\n"
         "GET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n",
         200, Fate::kept, "GET /g host=h GET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n"},
        {"DELETE /d HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok", 200, Fate::kept,
         "DELETE /d host=h ok"},
        {"POST / HTTP/1.1\r\nHost: h\r\n\r\n", 200, Fate::kept, "POST / host=h "},
        // Names that some gateways fold into one have no meaning here.
        {"POST / HTTP/1.1\r\nHost: h\r\nContent_Length: 9\r\nTransfer_Encoding: chunked\r\n"
         "Content-Length: 2\r\n\r\nok",
         200, Fate::kept, "POST / host=h ok"},
        {framed("Content-Length: 5\r\nX-Transfer-Encoding: chunked\r\n"), 200, Fate::kept,
         "POST / host=h 0\r\n\r\n"},
    });
  });
}

TEST(RawFraming, LengthsThatAreNotOnePlainNumberAre400) {
  run([] {
    RunningServer server(http::Handler{describe_request});
    RawTable table(server);
    table.run(each({"",
                    " ",
                    "+5",
                    "-5",
                    "-0",
                    "0x5",
                    "5a",
                    "a",
                    "5 5",
                    "5,5",
                    "5, 5",
                    "5,",
                    ",5",
                    "5;",
                    "5.0",
                    "5e0",
                    "1_0",
                    "\"5\"",
                    "5\v",
                    "\v5",
                    "\f5",
                    "5\0"sv,
                    "\xd9\xa5",
                    "9223372036854775808",
                    "18446744073709551615",
                    "18446744073709551616",
                    "18446744073709551621",
                    "99999999999999999999999999",
                    "0b1",
                    "5 \t5",
                    "05,5",
                    "5\r\n 5",
                    "5\r\n\t0"},
                   400, lengths));
    table.run(each(
        {"Content-Length: 5\r\nContent-Length: 5\r\n", "Content-Length: 5\r\ncontent-length: 6\r\n",
         "Content-Length: 0\r\nContent-Length: 5\r\n", "Content-Length:\r\nContent-Length: 5\r\n",
         "Content-Length: 5\r\nX: y\r\nCONTENT-LENGTH: 5\r\n", "Content-Length : 5\r\n",
         "Content-Length\t: 5\r\n", "Content-Length\r\n: 5\r\n", " Content-Length: 5\r\n",
         "Content-Length\0: 5\r\n"sv, "Content Length: 5\r\n"},
        400, [](const std::string& fields) { return framed(fields); }));
    // What no body of ours may be is refused before a byte of it.
    table.run({{lengths("9223372036854775807"), 413}, {lengths("10485761"), 413}});
  });
}

TEST(RawFraming, CodingsOtherThanChunkedAreRefused) {
  run([] {
    RunningServer server(http::Handler{describe_request});
    RawTable table(server);
    table.run(each({"",
                    "identity",
                    "gzip",
                    "chunked, gzip",
                    "chunked, chunked",
                    "chunked,chunked",
                    "chunked,",
                    ",chunked",
                    ", chunked",
                    "chunked;q=1",
                    "chunkedx",
                    "xchunked",
                    "x chunked",
                    "chunked x",
                    "\"chunked\"",
                    "'chunked'",
                    "chunk",
                    "chunke",
                    "identity, chunked",
                    "chunked, identity",
                    "chunked\v",
                    "\vchunked",
                    "\fchunked",
                    "chunked\0"sv,
                    "\0chunked"sv,
                    "gzip;q=1, chunked",
                    "chunked\r\n , gzip",
                    "\r\n chunked",
                    "c\xc5\xbfhunked",
                    "=chunked",
                    "chunked\r\n\t"},
                   400, codings));
    table.run(each({"gzip, chunked", "foo,chunked", "x-gzip , chunked", "deflate, gzip, chunked"},
                   501, codings));
    table.run(each(
        {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
         "Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n",
         "Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n",
         "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
         "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n",
         "Transfer-Encoding: chunked\r\ntransfer-encoding: cow\r\n",
         "Transfer-Encoding : chunked\r\n",
         "Transfer-Encoding\t: chunked\r\n",
         " Transfer-Encoding: chunked\r\n",
         "\tTransfer-Encoding: chunked\r\n",
         "X: y\rTransfer-Encoding: chunked\r\n",
         "X: y\nTransfer-Encoding: chunked\r\n",
         "X:\r\n Transfer-Encoding: chunked\r\n",
         "Transfer-Encoding\r\n : chunked\r\n",
         "Transfer\r-Encoding: chunked\r\n",
         "Transfer-Encoding:\n chunked\r\n",
         "Transfer-Encoding;: chunked\r\n",
         ": chunked\r\n",
         "Transfer-Encoding\0: chunked\r\n"sv,
         "Transfer-Encoding\x0b: chunked\r\n",
         "\x7fTransfer-Encoding: chunked\r\n",
         "Transfer Encoding: chunked\r\n"},
        400, [](const std::string& fields) { return framed("Content-Length: 5\r\n" + fields); }));
  });
}

TEST(RawFraming, LengthAndEncodingTogetherAre400) {
  run([] {
    RunningServer server(http::Handler{describe_request});
    RawTable table(server);
    table.run(each({"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                    "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
                    "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
                    "Transfer-Encoding:\r\nContent-Length: 5\r\n",
                    "Content-Length: 5\r\nTransfer-Encoding: identity\r\n",
                    "Content-Length: 5\r\nX: y\r\nTransfer-encoding: CHUNKED\r\n",
                    "Content-Length:\r\nTransfer-Encoding: chunked\r\n",
                    ("Transfer-Encoding: chunked\r\nUpgrade: x\r\nConnection: upgrade\r\n"
                     "Content-Length: 5\r\n")},
                   400, [](const std::string& fields) { return framed(fields); }));
    for (std::string_view fields : {"Transfer-Encoding: chunked\r\n"sv,
                                    "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n"sv,
                                    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"sv,
                                    "Transfer-Encoding: identity\r\n"sv})
      table.run({framed(std::string(fields), "HTTP/1.0"), 400});
  });
}

TEST(RawFraming, BadChunkSizesAre400) {
  run([] {
    RunningServer server(http::Handler{describe_request});
    RawTable table(server);
    table.run(each({"\r\n",
                    ";a\r\n",
                    " 5\r\nhello\r\n",
                    "5 \r\nhello\r\n",
                    "5\t\r\nhello\r\n",
                    "\t5\r\nhello\r\n",
                    "+5\r\nhello\r\n",
                    "-5\r\nhello\r\n",
                    "0x5\r\nhello\r\n",
                    "0X5\r\nhello\r\n",
                    "5h\r\nhello\r\n",
                    "5g\r\nhello\r\n",
                    "g\r\n",
                    "5,5\r\nhello\r\n",
                    "5.\r\nhello\r\n",
                    "\"5\"\r\nhello\r\n",
                    "5_0\r\nhello\r\n",
                    "\xef\xbc\x95\r\nhello\r\n",
                    "-0\r\n\r\n",
                    "+0\r\n\r\n",
                    "0x\r\n\r\n",
                    "x5\r\nhello\r\n",
                    "5\0\r\nhello\r\n"sv,
                    "\0005\r\nhello\r\n"sv,
                    "ffffffffffffffff\r\nx",
                    "8000000000000000\r\nx",
                    "10000000000000000\r\nx",
                    "10000000000000005\r\nhello\r\n",
                    "00000000000000005\r\nhello\r\n",
                    "fffffffffffffffff\r\nx",
                    "-1\r\n\r\n",
                    "-ffffffff\r\n",
                    "5 5\r\nhello\r\n",
                    "5\v\r\nhello\r\n",
                    "5\r\nhello\r\n+0\r\n\r\n",
                    "5\r\nhello\r\n0x0\r\n\r\n"},
                   400, chunks));
  });
}

TEST(RawFraming, ChunksMustMatchTheirSizesAndLineEnds) {
  run([] {
    RunningServer server(http::Handler{describe_request});
    RawTable table(server);
    table.run(each({"4\r\nhello\r\n0\r\n\r\n",
                    "6\r\nhello\r\n0\r\n\r\n",
                    "7\r\nhello\r\n0\r\n\r\n",
                    "5\nhello\r\n0\r\n\r\n",
                    "5\r\r\nhello\r\n",
                    "5\rhello\r\n",
                    "5\r\nhello\n0\r\n\r\n",
                    "5\r\nhello\r0\r\n\r\n",
                    "5\r\nhello0\r\n\r\n",
                    "5\r\nhello\n\r0\r\n\r\n",
                    "5\r\nhello\r\n0\n\r\n",
                    "5\r\nhello\r\n0\r\n\n",
                    "0\r\n\r\r\n\r\n",
                    "0\r\n\rX\r\n\r\n",
                    "0\n\n",
                    "0\r\n\nGET / HTTP/1.1\r\n\r\n",
                    "5;a\nhello\r\n",
                    "0;\n\r\n",
                    "0\r\r\n\r\n",
                    "5\r\nhello\r\n\r\n0\r\n\r\n",
                    "5\r\nhello  0\r\n\r\n",
                    "5\r\nhelloXX5\r\nhello\r\n"},
                   400, chunks));
    // One byte more at any place of the framing.
    const std::string body = "2;a=b\r\nok\r\n0\r\nX: y\r\n\r\n";
    RawTable whole = RawTable(server).whole_only();
    for (const char stray : {'\r', '\n', '\0'}) {
      // An LF behind the last CR is that of the empty line: the body has ended well.
      const std::size_t end = body.size() - (stray == '\n' ? 1 : 0);
      for (std::size_t at = 0; at < end; ++at) {
        std::string inserted = body;
        inserted.insert(at, 1, stray);
        whole.run({chunks(inserted), 400});
      }
    }
  });
}

TEST(RawFraming, BadChunkExtensionsAre400) {
  run([] {
    RunningServer server(http::Handler{describe_request});
    RawTable table(server);
    const auto with = [](const std::string& ext) {
      return chunks("2" + ext + "\r\nok\r\n0\r\n\r\n");
    };
    table.run(each({";",           ";;",    ";=",           ";a=",           ";a;",       "; ",
                    ";a ",         ";a=b ", ";a=\"b",       ";a=\"b\"c",     ";a=\"b\" ", ";a=b=c",
                    ";a=b c",      ";a b",  ";a=\"b\x01\"", ";\x7f",         ";a=b\"c\"", ";\"a\"",
                    ";a=\xc3\xa9", ",a",    ";(a)",         ";a=\"\\\r\n\"", ";a\0"sv,    ";a\rb"},
                   400, with));
    table.run(each({";a", ";a=b;c", " ;a", "\t;\ta\t=\t\"b\"", ";a=\"b\\\"c\\\\\""}, 200, with,
                   Fate::kept));
    table.run({
        {with(";" + std::string(255, 'a')), 200, Fate::kept},
        {with(";" + std::string(256, 'a')), 400},
        {with(";" + std::string(100'000, 'a')), 400},
        {with(std::string(257, ' ') + ";a"), 400},
        {with(";a=\"" + std::string(300, 'b') + "\""), 400},
    });
    // The cap is that of one chunk.
    std::string many;
    for (int i = 0; i < 50; ++i) many += "1;" + std::string(200, 'x') + "\r\na\r\n";
    table.whole_only().run(
        {chunks(many + "0\r\n\r\n"), 200, Fate::kept, "POST / host=h " + std::string(50, 'a')});
  });
}

TEST(RawFraming, TrailersThatFrameOrRouteOrAreMalformedAre400) {
  run([] {
    RunningServer server(http::Handler{describe_request});
    RawTable table(server);
    table.run(each({"Content-Length: 5",
                    "Transfer-Encoding: chunked",
                    "Host: h",
                    "Connection: close",
                    "Upgrade: x",
                    "TE: x",
                    "Trailer: x",
                    "Expect: 100-continue",
                    "Authorization: x",
                    "Content-Type: x/y",
                    "Content-Encoding: gzip",
                    "cookie: a=b",
                    "X-Forwarded-For: 1.2.3.4",
                    "Range: bytes=0-",
                    " a: b",
                    "\ta: b",
                    "a: b\r\n c: d",
                    ": b",
                    "a : b",
                    "a",
                    "a: b\rc: d",
                    "a: \x01",
                    "(a): b",
                    "a: b\n",
                    "a\0: b"sv},
                   400,
                   [](const std::string& line) { return chunks("0\r\n" + line + "\r\n\r\n"); }));
    std::string many;
    for (int i = 0; i < 101; ++i) many += fmt::format("X{}:\r\n", i);
    table.run({
        {chunks("0\r\n" + many + "\r\n"), 400},
        {chunks("0\r\nX: " + std::string(9000, 't') + "\r\n\r\n"), 400},
        {chunks("0\r\nX: " + std::string(100'000, 't')), 400},
    });
  });
}

TEST(RawFraming, BodiesThatEndEarlyAre400) {
  run([] {
    RunningServer server(http::Handler{describe_request});
    RawTable table(server);
    for (std::string_view body :
         {""sv, "5"sv, "5\r"sv, "5\r\n"sv, "5\r\nhel"sv, "5\r\nhello"sv, "5\r\nhello\r"sv,
          "5\r\nhello\r\n"sv, "5\r\nhello\r\n0"sv, "5\r\nhello\r\n0\r\n"sv,
          "5\r\nhello\r\n0\r\n\r"sv, "0\r\nX: y\r\n"sv, "5;a"sv})
      table.run({chunks(std::string(body)), 400, Fate::closed, "", true});
    const std::string head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n";
    for (std::string_view body : {""sv, "h"sv, "hell"sv})
      table.run({head + std::string(body), 400, Fate::closed, "", true});
    // A client that ends its side behind a whole request still gets its answer.
    table.run({head + "hello", 200, Fate::kept, "POST / host=h hello"});
    RawClient client(server.port());
    client.send(head + "hello");
    client.shutdown_write();
    EXPECT_EQ(client.read_response().body, "POST / host=h hello");
    EXPECT_EQ(client.read_until_close(), "");
  });
}

TEST(RawFraming, BodyThatNobodyReadsIsHeldToItsFramingToo) {
  run([] {
    RunningServer server(
        http::Handler{[](http::Response& res, const http::Request&) { res.print("done"); }});
    for (std::string_view bad : {"g\r\n"sv, "5\r\nhelloXX"sv, "5\nhello\r\n"sv, "0\n\n"sv,
                                 "0\r\nHost: x\r\n\r\n"sv, "fffffffffffffffff\r\n"sv}) {
      RawClient client(server.port());
      client.send(chunks(std::string(bad)) + get("/smuggled"));
      EXPECT_EQ(client.read_response().body, "done") << shown(bad);
      EXPECT_EQ(client.read_until_close(), "") << shown(bad);
    }
    RawClient client(server.port());
    for (int i = 0; i < 3; ++i)
      EXPECT_EQ(client.roundtrip(chunks("5\r\nhello\r\n0\r\nX: y\r\n\r\n")).body, "done");
  });
}

}  // namespace
}  // namespace treadle::test
