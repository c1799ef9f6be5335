// Bodies of requests: framing, limits, back-pressure, 100-continue, what handlers leave unread.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "http_fixture.h"

namespace treadle::test {
namespace {

void echo_all(http::Response& res, const http::Request& req) {
  auto body = req.body().read_all();
  if (body) res.write(*body);
}

// Streams the body back as it comes.
void echo_stream(http::Response& res, const http::Request& req) {
  std::array<std::byte, 8192> buffer;
  for (;;) {
    auto n = req.body().read(buffer);
    if (!n || *n == 0) return;
    if (!res.write(std::span<const std::byte>(buffer).first(*n)) || !res.flush()) return;
  }
}

void ignore_body(http::Response& res, const http::Request&) { res.print("ignored"); }

std::string chunked(std::string_view body, std::size_t chunk) {
  std::string all = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (std::size_t at = 0; at < body.size(); at += chunk) {
    std::string_view piece = body.substr(at, chunk);
    all += fmt::format("{:x}\r\n{}\r\n", piece.size(), piece);
  }
  return all + "0\r\n\r\n";
}

TEST(HttpBody, LengthDelimitedBodiesOfEverySizeComeWhole) {
  run([] {
    RunningServer server(http::Handler{echo_all});
    RawClient client(server.port());
    for (std::size_t size : {0U, 1U, 100U, 4095U, 4096U, 16'384U, 16'385U, 100'000U}) {
      const std::string body = pattern(size);
      EXPECT_TRUE(client.roundtrip(post("/", body)).body == body) << size;
    }
  });
}

TEST(HttpBody, ChunkedBodiesOfEveryCutComeWhole) {
  run([] {
    RunningServer server(http::Handler{echo_all});
    RawClient client(server.port());
    const std::string body = pattern(50'000);
    for (std::size_t chunk : {1U, 7U, 4096U, 20'000U, 50'000U})
      EXPECT_TRUE(client.roundtrip(chunked(body, chunk)).body == body) << chunk;
  });
}

TEST(HttpBody, BytesMayComeOneByOne) {
  run([] {
    RunningServer server(http::Handler{echo_all});
    RawClient client(server.port());
    for (const std::string& request : {post("/", "hello"), chunked("hello", 2)}) {
      ASSERT_TRUE(client.send_bytewise(request));
      EXPECT_EQ(client.read_response().body, "hello");
    }
  });
}

TEST(HttpBody, TinyReadsSeeEveryByteOnce) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
      std::string all;
      std::array<std::byte, 3> three;
      for (;;) {
        auto n = req.body().read(three);
        if (!n || *n == 0) break;
        all.append(reinterpret_cast<const char*>(three.data()), *n);
      }
      res.write(all);
    }});
    RawClient client(server.port());
    const std::string body = pattern(10'000);
    EXPECT_TRUE(client.roundtrip(post("/", body)).body == body);
    EXPECT_TRUE(client.roundtrip(chunked(body, 17)).body == body);
  });
}

TEST(HttpBody, StreamingEchoOfTenMegabytesHoldsTheSenderBack) {
  run([] {
    RunningServer server(http::Handler{echo_stream});
    const std::string body = pattern(10 * 1024 * 1024);
    for (const std::string& request : {post("/", body), chunked(body, 60'000)}) {
      RawClient client(server.port());
      bool sent = false;
      WaitGroup sending;
      sending.add(1);
      // The sender runs beside the reader: neither side can hold ten megabytes.
      treadle::go([&] {
        sent = client.send(request);
        sending.done();
      });
      RawResponse r = client.read_response();
      sending.wait();
      EXPECT_TRUE(sent);
      EXPECT_TRUE(r.chunked);
      EXPECT_TRUE(r.body == body);
    }
  });
}

TEST(HttpBody, ContinueIsSentWhenTheBodyIsFirstRead) {
  run([] {
    RunningServer server(http::Handler{echo_all});
    RawClient client(server.port());
    for (int i = 0; i < 2; ++i) {
      ASSERT_TRUE(client.send(
          "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"));
      EXPECT_EQ(client.read_response().status, 100);
      ASSERT_TRUE(client.send("hello"));
      RawResponse r = client.read_response();
      EXPECT_EQ(r.status, 200);
      EXPECT_EQ(r.body, "hello");
    }
  });
}

TEST(HttpBody, ContinueIsNotSentWhenNobodyReads) {
  run([] {
    RunningServer server(http::Handler{ignore_body});
    RawClient client(server.port());
    ASSERT_TRUE(client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"));
    RawResponse r = client.read_response();
    EXPECT_EQ(r.status, 200);
    // Whether those five bytes will come nobody knows: the connection cannot go on.
    EXPECT_EQ(r.header("Connection"), "close");
    EXPECT_TRUE(client.closed_by_peer());
  });
}

TEST(HttpBody, ContinueIsSkippedWhenTheBodyIsThere) {
  run([] {
    RunningServer server(http::Handler{echo_all});
    RawClient client(server.port());
    ASSERT_TRUE(client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello"));
    RawResponse r = client.read_response();
    EXPECT_EQ(r.status, 200);
    EXPECT_EQ(r.body, "hello");
  });
}

TEST(HttpBody, AnnouncedLengthOverTheLimitIsRefusedUnseen) {
  run([] {
    RunningServer server(http::Handler{echo_all}, {.limits = {.body = 1000}});
    EXPECT_EQ(fetch(server.port(), post("/", pattern(1000))).status, 200);
    RawClient client(server.port());
    RawResponse r = client.roundtrip("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n");
    EXPECT_EQ(r.status, 413);
    EXPECT_EQ(r.header("Connection"), "close");
    EXPECT_TRUE(client.closed_by_peer());
    EXPECT_EQ(server->stats().requests, 1U);
    EXPECT_EQ(server->stats().refused, 1U);
  });
}

TEST(HttpBody, ChunkedBodyOverTheLimitIsAnsweredWith413) {
  run([] {
    RunningServer server(http::Handler{echo_all}, {.limits = {.body = 1000}});
    EXPECT_EQ(fetch(server.port(), chunked(pattern(1000), 100)).status, 200);
    RawResponse r = fetch(server.port(), chunked(pattern(1001), 100));
    EXPECT_EQ(r.status, 413);
    EXPECT_EQ(r.header("Connection"), "close");
  });
}

TEST(HttpBody, ReadAllKeepsItsOwnLimit) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
      auto body = req.body().read_all(10);
      if (!body) {
        EXPECT_EQ(body.error(), make_error_code(http::Errc::body_too_large));
        return;
      }
      res.write(*body);
    }});
    EXPECT_EQ(fetch(server.port(), post("/", "0123456789")).body, "0123456789");
    EXPECT_EQ(fetch(server.port(), post("/", "0123456789a")).status, 413);
    EXPECT_EQ(fetch(server.port(), chunked("0123456789a", 3)).status, 413);
  });
}

TEST(HttpBody, MalformedChunksAreAnsweredWith400) {
  run([] {
    RunningServer server(http::Handler{echo_all});
    const std::string start = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (std::string_view bad :
         {"x\r\n", "3\r\nabcd\r\n", "-1\r\n", "3\nabc\r\n", "ffffffffffffffffff\r\n"}) {
      RawClient client(server.port());
      RawResponse r = client.roundtrip(start + std::string(bad));
      EXPECT_EQ(r.status, 400) << bad;
      EXPECT_TRUE(client.closed_by_peer());
    }
  });
}

TEST(HttpBody, HandlerThatAnswersDespiteABadBodyIsHeard) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
      EXPECT_FALSE(req.body().read_all());
      EXPECT_EQ(req.body().error(), make_error_code(http::Errc::malformed_body));
      res.status(422).print("what was that?");
    }});
    RawClient client(server.port());
    RawResponse r = client.roundtrip(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n");
    EXPECT_EQ(r.status, 422);
    EXPECT_EQ(r.header("Connection"), "close");
  });
}

constexpr std::string_view kChunkedPost =
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

TEST(HttpBody, AnswerStreamedFromAnUploadThatEndsEarlyHasNoLastChunk) {
  run([] {
    RunningServer server(http::Handler{echo_stream});
    RawClient client(server.port());
    ASSERT_TRUE(client.send(std::string(kChunkedPost) + "5\r\nhel"));
    std::string got = client.read_until("hel\r\n");
    client.shutdown_write();
    got += client.read_until_gone();
    EXPECT_TRUE(got.starts_with("HTTP/1.1 200")) << got;
    EXPECT_TRUE(got.ends_with("3\r\nhel\r\n")) << got;
    EXPECT_EQ(server->stats().cut, 1U);
  });
}

TEST(HttpBody, AnswerStreamedFromAMalformedUploadHasNoLastChunk) {
  run([] {
    RunningServer server(http::Handler{echo_stream});
    RawClient client(server.port());
    ASSERT_TRUE(client.send(std::string(kChunkedPost) + "5\r\nhello"));
    std::string got = client.read_until("hello\r\n");
    ASSERT_TRUE(client.send("XX"));
    got += client.read_until_gone();
    EXPECT_TRUE(got.ends_with("5\r\nhello\r\n")) << got;
    EXPECT_EQ(server->stats().cut, 1U);
  });
}

TEST(HttpBody, BufferedPartOfABrokenUploadGivesWayTo400) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
      std::array<std::byte, 100> buffer;
      while (true) {
        auto n = req.body().read(buffer);
        if (!n || *n == 0) return;
        res.write(std::span<const std::byte>(buffer).first(*n));
      }
    }});
    RawClient client(server.port());
    ASSERT_TRUE(client.send(std::string(kChunkedPost) + "5\r\nhel"));
    client.shutdown_write();
    RawResponse r = client.read_response();
    EXPECT_EQ(r.status, 400);
    EXPECT_EQ(r.body.find("hel"), std::string::npos);
  });
}

TEST(HttpBody, LongAnswerToABadBodyIsHeardWhole) {
  run([] {
    const std::string answer = pattern(100'000);
    RunningServer server(http::Handler{[&](http::Response& res, const http::Request& req) {
      EXPECT_FALSE(req.body().read_all());
      res.status(422).write(answer);
    }});
    RawClient client(server.port());
    RawResponse r = client.roundtrip(std::string(kChunkedPost) + "nonsense\r\n");
    EXPECT_EQ(r.status, 422);
    EXPECT_TRUE(r.body == answer);
    EXPECT_EQ(server->stats().cut, 0U);
  });
}

TEST(HttpBody, AnswerOfItsDeclaredLengthSurvivesABrokenUpload) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
      res.content_length(4).print("done");
      EXPECT_TRUE(res.flush());
      EXPECT_FALSE(req.body().read_all());
    }});
    RawClient client(server.port());
    ASSERT_TRUE(client.send(std::string(kChunkedPost) + "5\r\nhel"));
    client.shutdown_write();
    EXPECT_EQ(client.read_response().body, "done");
    EXPECT_TRUE(client.closed_by_peer());
    EXPECT_EQ(server->stats().cut, 0U);
  });
}

TEST(HttpBody, SmallUnreadBodyIsDroppedAndTheConnectionKept) {
  run([] {
    RunningServer server(http::Handler{ignore_body});
    RawClient client(server.port());
    for (std::size_t size : {5U, 100'000U, 256U * 1024}) {
      EXPECT_EQ(client.roundtrip(post("/", pattern(size))).body, "ignored") << size;
      EXPECT_EQ(client.roundtrip(chunked(pattern(size / 2), 1000)).body, "ignored") << size;
    }
    EXPECT_EQ(server->stats().accepted, 1U);
  });
}

TEST(HttpBody, HalfReadBodyIsDroppedToItsEnd) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
      std::array<std::byte, 10> ten;
      EXPECT_TRUE(req.body().read(ten));
      res.print("enough");
    }});
    RawClient client(server.port());
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(client.roundtrip(post("/", pattern(50'000))).body, "enough");
      EXPECT_EQ(client.roundtrip(chunked(pattern(50'000), 999)).body, "enough");
    }
  });
}

TEST(HttpBody, LargeUnreadBodyEndsTheConnectionAfterTheAnswer) {
  run([] {
    RunningServer server(http::Handler{ignore_body});
    RawClient client(server.port());
    // Sent only in part, since nobody will take it.
    ASSERT_TRUE(client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n" +
                            pattern(100'000)));
    RawResponse r = client.read_response();
    EXPECT_EQ(r.body, "ignored");
    EXPECT_EQ(r.header("Connection"), "close");
    client.shutdown_write();
    EXPECT_TRUE(client.closed_by_peer());
    EXPECT_FALSE(client.was_reset());
  });
}

TEST(HttpBody, TrailersShowOnceTheBodyIsRead) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
      EXPECT_EQ(req.body().trailers().size(), 0U);
      EXPECT_EQ(req.body().read_all().value_or(""), "abc");
      res.write(req.body().trailers().get("X-Sum"));
    }});
    RawResponse r = fetch(server.port(),
                          "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                          "3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n");
    EXPECT_EQ(r.body, "42");
  });
}

TEST(HttpBody, HeadStaysReadableWhileTheBodyStreams) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
      auto body = req.body().read_all();
      EXPECT_TRUE(body);
      res.print("{} {} {}", req.header("X-Long").size(), req.header("X-End"), req.target());
    }});
    RawClient client(server.port());
    // A head near the limit, so that the body has the least room behind it.
    const std::string fields = "X-Long: " + std::string(30'000, 'h') + "\r\nX-End: last\r\n";
    RawResponse r = client.roundtrip(post("/t", pattern(200'000), fields));
    EXPECT_EQ(r.body, "30000 last /t");
    const std::string body = chunked(pattern(200'000), 5000);
    std::string with_fields = body;
    with_fields.insert(body.find("Transfer"), fields);
    EXPECT_EQ(client.roundtrip(with_fields).body, "30000 last /");
    EXPECT_EQ(client.roundtrip(get("/next")).body, "0  /next");
  });
}

}  // namespace
}  // namespace treadle::test
