// Responses that are compressed, and requests that are decompressed.
#include <treadle/http/compress.h>

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <treadle/http/sse.h>
#include <treadle/net/file.h>

#include "e2e/http_fixture.h"
#include "support/spawn.h"
#include "support/temporary_tree.h"

namespace treadle::test {
namespace {

std::string text_of(std::size_t size) {
  std::string s;
  for (std::size_t i = 0; s.size() < size; ++i)
    s += "line " + std::to_string(i * 7919 % 1000) + "\n";
  s.resize(size);
  return s;
}

const std::string kAccept = "Accept-Encoding: ";

std::string coded_post(std::string_view target, std::string_view coding, std::string_view body) {
  return post(target, body, "Content-Encoding: " + std::string(coding) + "\r\n");
}

// Handlers by path, all of them compressed, and "/decode", which gives back what it is sent.
struct Codec {
  std::string text = text_of(100'000);
  TemporaryTree tree;
  http::Router router;
  http::RouteGroup group = router.group();

  explicit Codec(http::CompressOptions options = {}) {
    tree.write("text.txt", text);
    group.use(http::compress(std::move(options)));
    group.handle("/short", [](http::Response& res, const http::Request&) { res.write("short"); });
    group.handle("/whole", [this](http::Response& res, const http::Request&) {
      res.header("ETag", "\"tag\"").header("Accept-Ranges", "bytes");
      res.write(std::string_view(text).substr(0, 10'000));
    });
    group.handle("/long", [this](http::Response& res, const http::Request&) {
      for (std::size_t at = 0; at < text.size(); at += 1000)
        res.write(std::string_view(text).substr(at, 1000));
    });
    group.handle("/once", [this](http::Response& res, const http::Request&) { res.write(text); });
    group.handle("/declared", [this](http::Response& res, const http::Request&) {
      res.content_length(text.size()).write(text);
    });
    group.handle("/file", [this](http::Response& res, const http::Request&) {
      auto file = net::File::open(tree.path("text.txt"));
      ASSERT_TRUE(file);
      res.content_length(text.size()).send_file(*file, 0, text.size());
    });
    group.handle("/zeros", [](http::Response& res, const http::Request&) {
      const std::string zeros(100'000, '\0');
      for (int i = 0; i < 200; ++i) res.write(zeros);
    });
    router.handle("POST /decode",
                  http::decompress()([](http::Response& res, const http::Request& req) {
                    EXPECT_FALSE(req.content_length());
                    EXPECT_FALSE(req.headers().has("Content-Encoding"));
                    EXPECT_FALSE(req.headers().has("Content-Length"));
                    if (auto body = req.body().read_all(Body::kNoLimit))
                      res.content_type("x/y").write(*body);
                  }));
  }
  using Body = http::Body;
};

TEST(Compress, EveryCodingComesBackWhole) {
  run([] {
    Codec codec;
    RunningServer server(codec.router);
    RawClient client(server.port());
    for (const std::string coding : {"gzip", "br", "zstd"}) {
      for (const char* path : {"/whole", "/long", "/once", "/declared", "/file"}) {
        RawResponse plain = client.roundtrip(get(path));
        EXPECT_FALSE(plain.header("Content-Encoding"));
        EXPECT_EQ(plain.header("Vary"), "Accept-Encoding");
        RawResponse r = client.roundtrip(get(path, kAccept + coding + "\r\n"));
        EXPECT_EQ(r.header("Content-Encoding"), coding) << path;
        EXPECT_EQ(r.header("Vary"), "Accept-Encoding");
        EXPECT_EQ(r.header("Content-Type"), "text/plain; charset=utf-8");
        EXPECT_LT(r.body.size(), plain.body.size() / 2);
        EXPECT_EQ(r.chunked, std::string_view(path) != "/whole");
        EXPECT_TRUE(client.roundtrip(coded_post("/decode", coding, r.body)).body == plain.body)
            << coding << path;
      }
    }
    EXPECT_EQ(server->stats().cut, 0U);
  });
}

TEST(Compress, HeadsSayWhatHasChanged) {
  run([] {
    Codec codec;
    RunningServer server(codec.router);
    RawClient client(server.port());
    RawResponse plain = client.roundtrip(get("/whole"));
    EXPECT_EQ(plain.header("ETag"), "\"tag\"");
    EXPECT_EQ(plain.header("Accept-Ranges"), "bytes");
    RawResponse r = client.roundtrip(get("/whole", kAccept + "gzip\r\n"));
    EXPECT_EQ(r.header("ETag"), "W/\"tag\"");
    EXPECT_FALSE(r.header("Accept-Ranges"));
    EXPECT_EQ(r.header("Content-Length"), std::to_string(r.body.size()));
    for (const char* path : {"/whole", "/once", "/declared", "/file"}) {
      r = client.roundtrip(head(path, kAccept + "gzip\r\n"), RawClient::Request::head);
      EXPECT_EQ(r.header("Content-Encoding"), "gzip") << path;
      EXPECT_EQ(r.header("Vary"), "Accept-Encoding") << path;
      EXPECT_FALSE(r.header("Content-Length")) << path;
      r = client.roundtrip(head(path), RawClient::Request::head);
      EXPECT_FALSE(r.header("Content-Encoding")) << path;
    }
    EXPECT_EQ(
        client.roundtrip(head("/declared"), RawClient::Request::head).header("Content-Length"),
        "100000");
  });
}

TEST(Compress, WhatGainsNothingIsLeftAlone) {
  run([] {
    const std::string text = text_of(5000);
    http::Handler handler = [&](http::Response& res, const http::Request& req) {
      const std::string_view path = req.path();
      if (path == "/png") res.content_type("image/png");
      if (path == "/coded") res.header("Content-Encoding", "br");
      if (path == "/part") res.status(206).header("Content-Range", "bytes 0-4999/9999");
      if (path == "/fixed") res.header("Cache-Control", "public, no-transform");
      if (path == "/digest") res.header("Content-Digest", "sha-256=:AA==:");
      if (path == "/304") return void(res.status(304).header("ETag", "\"a\""));
      if (path == "/204") return void(res.status(204));
      if (path == "/empty") return;
      res.write(path == "/short" ? text.substr(0, 1023) : text);
    };
    RunningServer server(http::compress()(handler));
    RawClient client(server.port());
    for (const char* path : {"/png", "/coded", "/part", "/fixed", "/digest", "/short"}) {
      RawResponse r = client.roundtrip(get(path, kAccept + "gzip\r\n"));
      EXPECT_NE(r.header("Content-Encoding"), "gzip") << path;
      // A part is one of a whole that might have been compressed.
      EXPECT_EQ(r.header("Vary").has_value(), std::string_view(path) == "/part") << path;
      EXPECT_EQ(r.body.size(), std::string_view(path) == "/short" ? 1023U : 5000U) << path;
    }
    for (const char* path : {"/204", "/empty"})
      EXPECT_FALSE(client.roundtrip(get(path, kAccept + "gzip\r\n")).header("Vary")) << path;
    EXPECT_EQ(client.roundtrip(get("/304", kAccept + "gzip\r\n")).header("Vary"),
              "Accept-Encoding");
    EXPECT_EQ(client.roundtrip(get("/304", kAccept + "gzip\r\n")).header("ETag"), "W/\"a\"");
    // Unless the client will have nothing else.
    const std::string only = kAccept + "gzip, identity;q=0\r\n";
    for (const char* path : {"/png", "/short"})
      EXPECT_EQ(client.roundtrip(get(path, only)).header("Content-Encoding"), "gzip") << path;
    EXPECT_FALSE(client.roundtrip(get("/fixed", only)).header("Content-Encoding"));
    EXPECT_FALSE(client.roundtrip(get("/empty", only)).header("Content-Encoding"));
  });
}

TEST(Compress, VaryIsNotSaidTwice) {
  run([] {
    RunningServer server(http::compress()([](http::Response& res, const http::Request& req) {
      res.header("Vary", req.path() == "/star" ? "*" : "Origin, accept-encoding");
      res.write(text_of(5000));
    }));
    RawClient client(server.port());
    for (const char* path : {"/", "/star"}) {
      RawResponse r = client.roundtrip(get(path, kAccept + "br\r\n"));
      EXPECT_EQ(r.header("Content-Encoding"), "br");
      EXPECT_EQ(r.count("Vary"), 1U);
    }
  });
}

TEST(Compress, FlushDeliversWhatWasWritten) {
  run([] {
    for (const std::string coding : {"gzip", "br", "zstd"}) {
      Event go_on;
      http::Router router;
      router.handle("GET /", http::compress()([&](http::Response& res, const http::Request& req) {
                      http::EventStream events(res, req);
                      EXPECT_TRUE(events.send("first"));
                      go_on.wait();
                      EXPECT_TRUE(events.send("second"));
                    }));
      Event first_seen;
      router.handle("POST /",
                    http::decompress()([&](http::Response& res, const http::Request& req) {
                      std::string got;
                      char buffer[100];
                      for (;;) {
                        const auto n = req.body().read(std::as_writable_bytes(std::span(buffer)));
                        ASSERT_TRUE(n) << n.error().message();
                        if (*n == 0) break;
                        got.append(buffer, *n);
                        if (got == "data: first\n\n") first_seen.set();
                      }
                      res.write(got);
                    }));
      RunningServer server(router);
      RawClient events(server.port());
      RawClient upload(server.port());
      ASSERT_TRUE(events.send(get("/", kAccept + coding + "\r\n")));
      ASSERT_TRUE(
          upload.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                      "Content-Encoding: " +
                      coding + "\r\n\r\n"));
      const std::string head = events.read_until("\r\n\r\n");
      EXPECT_NE(head.find("Content-Encoding: " + coding), std::string::npos) << head;
      // Chunk by chunk from one to the other, until the first event has come through both.
      std::string sent;
      Task forward([&] {
        for (;;) {
          const std::string bytes = events.read_some();
          sent += bytes;
          ASSERT_TRUE(upload.send(bytes));
          if (bytes.empty() || sent.ends_with("0\r\n\r\n")) return;
        }
      });
      first_seen.wait();
      go_on.set();
      forward.join();
      EXPECT_EQ(upload.read_response().body, "data: first\n\ndata: second\n\n") << coding;
    }
  });
}

TEST(Compress, BrokenPromisesCutTheConnection) {
  run([] {
    const std::string text = text_of(50'000);
    http::Handler handler = [&](http::Response& res, const http::Request& req) {
      if (req.path() == "/throw") {
        res.write(text);
        throw std::runtime_error("as it should");
      }
      res.content_length(60'000).write(text);
      if (req.path() == "/more") {
        EXPECT_FALSE(res.write(text));
      }
    };
    RunningServer server(http::compress()(handler));
    for (const char* path : {"/throw", "/less", "/more"}) {
      RawClient client(server.port());
      ASSERT_TRUE(client.send(get(path, kAccept + "gzip\r\n")));
      const std::string got = client.read_until_gone();
      EXPECT_TRUE(got.starts_with("HTTP/1.1 200")) << path;
      EXPECT_FALSE(got.ends_with("0\r\n\r\n")) << path;
    }
    EXPECT_EQ(server->stats().cut, 3U);
  });
}

TEST(Compress, ErrorsAfterABufferedStartAreWhole) {
  run([] {
    RunningServer server(http::compress()([](http::Response& res, const http::Request&) {
      res.write(text_of(10'000));
      throw std::runtime_error("as it should");
    }));
    RawResponse r = fetch(server.port(), get("/", kAccept + "gzip\r\n"));
    EXPECT_EQ(r.status, 500);
    EXPECT_EQ(r.body, "Internal Server Error\n");
  });
}

TEST(Compress, WhatFiltersThrowEndsOneResponse) {
  run([] {
    const auto throws = [](std::string_view) -> bool { throw std::runtime_error("as it should"); };
    RunningServer server(
        http::compress({.compressible = throws})([](http::Response& res, const http::Request& req) {
          res.write(text_of(req.path() == "/long" ? 50'000 : 5000));
        }));
    RawClient short_one(server.port());
    ASSERT_TRUE(short_one.send(get("/", kAccept + "gzip\r\n")));
    EXPECT_EQ(short_one.read_until_gone(), "");
    EXPECT_EQ(fetch(server.port(), get("/long", kAccept + "gzip\r\n")).status, 500);
  });
}

TEST(Compress, OldClientsGetTheEndOfTheConnectionForAnEnd) {
  run([] {
    Codec codec;
    RunningServer server(codec.router);
    RawClient client(server.port());
    RawResponse r = client.roundtrip("GET /once HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n");
    EXPECT_TRUE(r.until_close);
    EXPECT_EQ(r.header("Content-Encoding"), "gzip");
    EXPECT_TRUE(fetch(server.port(), coded_post("/decode", "gzip", r.body)).body == codec.text);
  });
}

TEST(Compress, BeyondItsBoundResponsesGoAsTheyAre) {
  run([] {
    Event go_on;
    RunningServer server(
        http::compress({.max_active = 1})([&](http::Response& res, const http::Request& req) {
          res.write(text_of(5000));
          if (req.path() == "/held") {
            res.flush();
            go_on.wait();
          }
        }));
    RawClient held(server.port());
    ASSERT_TRUE(held.send(get("/held", kAccept + "gzip\r\n")));
    EXPECT_NE(held.read_until("\r\n\r\n").find("Content-Encoding"), std::string::npos);
    RawResponse r = fetch(server.port(), get("/", kAccept + "gzip\r\n"));
    EXPECT_FALSE(r.header("Content-Encoding"));
    EXPECT_EQ(r.header("Vary"), "Accept-Encoding");
    EXPECT_EQ(r.body, text_of(5000));
    go_on.set();
    held.read_until("0\r\n\r\n");
    // The place comes back once that response is over.
    RawClient client(server.port());
    while (!client.roundtrip(get("/", kAccept + "gzip\r\n")).header("Content-Encoding"))
      treadle::gosched();
  });
}

// The server remembers a head that comes again; what decompress() takes out of it comes again too.
TEST(Compress, SameUploadIsDecodedEachTime) {
  run([] {
    Codec codec(http::CompressOptions{});
    RunningServer server(codec.router);
    RawClient client(server.port());
    const RawResponse coded = client.roundtrip(get("/long", kAccept + "gzip\r\n"));
    ASSERT_TRUE(coded.header("Content-Encoding"));
    for (int i = 0; i < 6; ++i) {
      const RawResponse r = client.roundtrip(coded_post("/decode", "gzip", coded.body));
      EXPECT_TRUE(r.body == codec.text) << "upload " << i;
    }
  });
}

TEST(Compress, ManyAtOnceDoNotMix) {
  run([] {
    Codec codec({.max_active = 3});
    RunningServer server(codec.router);
    std::vector<std::unique_ptr<Task>> clients;
    for (const std::string coding : {"gzip", "br", "zstd", "gzip", "br", "zstd"}) {
      clients.push_back(std::make_unique<Task>([&, coding] {
        RawClient client(server.port());
        for (int i = 0; i < 5; ++i) {
          RawResponse r = client.roundtrip(get("/long", kAccept + coding + "\r\n"));
          if (r.header("Content-Encoding"))
            r = client.roundtrip(coded_post("/decode", coding, r.body));
          EXPECT_TRUE(r.body == codec.text);
        }
      }));
    }
    for (auto& client : clients) client->join();
  });
}

TEST(Compress, NonsensePanics) {
  EXPECT_THROW(http::compress({.gzip_level = 10}), Panic);
  EXPECT_THROW(http::compress({.zstd_level = -1}), Panic);
  EXPECT_THROW(http::compress({.gzip_level = 0, .brotli_level = 0, .zstd_level = 0}), Panic);
}

TEST(Compress, CurlUnderstandsIt) {
  run([] {
    Codec codec;
    RunningServer server(codec.router);
    const std::string url = "http://127.0.0.1:" + std::to_string(server.port());
    for (const char* coding : {"gzip", "br", "zstd"}) {
      for (const char* path : {"/whole", "/once"}) {
        Process curl({"curl", "-s", "--compressed", "-H", kAccept + coding, url + path});
        EXPECT_EQ(curl.wait(), 0);
        const std::size_t size = std::string_view(path) == "/whole" ? 10'000 : codec.text.size();
        EXPECT_TRUE(curl.output() == codec.text.substr(0, size)) << coding << path;
      }
    }
  });
}

// ---- requests

TEST(Compress, BombsEndAtTheLimit) {
  run([] {
    Codec codec;
    RunningServer server(codec.router, {.limits = {.body = 10 * 1024 * 1024}});
    RawClient client(server.port());
    for (const std::string coding : {"gzip", "br", "zstd"}) {
      RawResponse bomb = client.roundtrip(get("/zeros", kAccept + coding + "\r\n"));
      EXPECT_LT(bomb.body.size(), 100'000U) << coding;
      EXPECT_EQ(fetch(server.port(), coded_post("/decode", coding, bomb.body)).status, 413)
          << coding;
    }
  });
}

TEST(Compress, BodiesOfExactlyTheLimitPass) {
  run([] {
    Codec codec;
    http::Router router = codec.router;
    router.handle("POST /limit/", http::decompress({.limit = 100'000})(
                                      [](http::Response& res, const http::Request& req) {
                                        auto all = req.body().read_all();
                                        if (all) res.print("{}", all->size());
                                      }));
    router.handle("POST /less/", http::decompress({.limit = 99'999})(
                                     [](http::Response& res, const http::Request& req) {
                                       auto all = req.body().read_all();
                                       if (all) res.print("{}", all->size());
                                     }));
    RunningServer server(router);
    const std::string body = fetch(server.port(), get("/once", kAccept + "gzip\r\n")).body;
    EXPECT_EQ(fetch(server.port(), coded_post("/limit/", "gzip", body)).body, "100000");
    EXPECT_EQ(fetch(server.port(), coded_post("/limit/", "X-GZIP", body)).body, "100000");
    EXPECT_EQ(fetch(server.port(), coded_post("/less/", "gzip", body)).status, 413);
  });
}

TEST(Compress, BrokenBodiesAreAnsweredWith400) {
  run([] {
    Codec codec;
    RunningServer server(codec.router);
    for (const std::string coding : {"gzip", "br", "zstd"}) {
      const std::string body = fetch(server.port(), get("/once", kAccept + coding + "\r\n")).body;
      for (const std::string& bad :
           {body.substr(0, body.size() - 1), body + "x", std::string(1000, '\xff')}) {
        EXPECT_EQ(fetch(server.port(), coded_post("/decode", coding, bad)).status, 400) << coding;
      }
    }
  });
}

TEST(Compress, OtherCodingsAreAnsweredWith415) {
  run([] {
    Codec codec;
    RunningServer server(codec.router);
    RawClient client(server.port());
    for (const char* coding :
         {"deflate", "gzip, br", "gzip, identity", "gzip\r\nContent-Encoding: gzip", "gz ip"}) {
      RawResponse r = client.roundtrip(coded_post("/decode", coding, "abc"));
      EXPECT_EQ(r.status, 415) << coding;
      EXPECT_EQ(r.header("Accept-Encoding"), "gzip, br, zstd");
    }
  });
}

TEST(Compress, BodiesThatAreNotCodedPassUntouched) {
  run([] {
    RunningServer server(http::decompress()([](http::Response& res, const http::Request& req) {
      auto all = req.body().read_all();
      res.print("{} {}", all.value_or("?"), req.content_length().value_or(999));
    }));
    RawClient client(server.port());
    EXPECT_EQ(client.roundtrip(post("/", "abc")).body, "abc 3");
    EXPECT_EQ(client.roundtrip(coded_post("/", "identity", "abc")).body, "abc 3");
    EXPECT_EQ(client.roundtrip(coded_post("/", "gzip", "")).body, " 0");
    EXPECT_EQ(client.roundtrip(get("/", "Content-Encoding: br\r\n")).body, " 0");
    EXPECT_EQ(client
                  .roundtrip("POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\n"
                             "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
                  .body,
              " 999");
  });
}

TEST(Compress, DecodersAreBounded) {
  run([] {
    Event go_on;
    Event inside;
    RunningServer server(
        http::decompress({.max_active = 1})([&](http::Response& res, const http::Request&) {
          inside.set();
          go_on.wait();
          res.write("done");
        }));
    RawClient first(server.port());
    ASSERT_TRUE(first.send(coded_post("/", "gzip", "abc")));
    inside.wait();
    RawResponse r = fetch(server.port(), coded_post("/", "gzip", "abc"));
    EXPECT_EQ(r.status, 503);
    EXPECT_EQ(r.header("Retry-After"), "1");
    go_on.set();
    EXPECT_EQ(first.read_response().body, "done");
  });
}

}  // namespace
}  // namespace treadle::test
