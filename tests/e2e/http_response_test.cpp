// What a handler writes and what the client gets: framing, lengths, statuses without a body.
#include <unistd.h>

#include <cstdlib>
#include <string>

#include <treadle/net/file.h>

#include "http_fixture.h"

namespace treadle::test {
namespace {

using Write = std::function<void(http::Response&)>;

// Answers every request by `write`.
http::Handler writes(Write write) {
  return [write](http::Response& res, const http::Request&) { write(res); };
}

// A temporary file, unlinked already.
net::File file_with(std::string_view content) {
  std::string path = testing::TempDir() + "treadle-XXXXXX";
  const int fd = ::mkstemp(path.data());
  EXPECT_GE(fd, 0);
  ::unlink(path.c_str());
  EXPECT_EQ(::write(fd, content.data(), content.size()), static_cast<ssize_t>(content.size()));
  return net::File(fd);
}

TEST(HttpResponse, BodyUpToTheBufferHasALength) {
  run([] {
    for (std::size_t size : {0U, 1U, 16'384U}) {
      const std::string body = pattern(size);
      RunningServer server(writes([&](http::Response& res) { res.write(body); }));
      RawClient client(server.port());
      RawResponse r = client.roundtrip(get("/"));
      EXPECT_EQ(r.header("Content-Length"), std::to_string(size));
      EXPECT_TRUE(r.body == body);
    }
  });
}

TEST(HttpResponse, LongerBodyIsChunked) {
  run([] {
    const std::string body = pattern(16'385);
    RunningServer server(writes([&](http::Response& res) {
      for (char c : body) res.write(std::string_view(&c, 1));
    }));
    RawClient client(server.port());
    for (int i = 0; i < 2; ++i) {
      RawResponse r = client.roundtrip(get("/"));
      EXPECT_TRUE(r.chunked);
      EXPECT_FALSE(r.header("Content-Length"));
      EXPECT_TRUE(r.body == body);
    }
  });
}

TEST(HttpResponse, LargeWritesOfManySizesComeWhole) {
  run([] {
    const std::string body = pattern(3'000'000);
    RunningServer server(writes([&](http::Response& res) {
      std::string_view rest = body;
      for (std::size_t n = 1; !rest.empty(); n = n * 3 + 1) {
        res.write(rest.substr(0, n));
        rest.remove_prefix(std::min(n, rest.size()));
      }
    }));
    RawClient client(server.port());
    EXPECT_TRUE(client.roundtrip(get("/")).body == body);
  });
}

TEST(HttpResponse, FlushSendsWhatThereIs) {
  run([] {
    Event go_on;
    RunningServer server(writes([&](http::Response& res) {
      res.print("first");
      EXPECT_FALSE(res.head_sent());
      res.flush();
      EXPECT_TRUE(res.head_sent());
      EXPECT_THROW(res.status(404), Panic);
      EXPECT_THROW(res.header("X-Late", "y"), Panic);
      EXPECT_EQ(res.send_error(500).error(), make_error_code(http::Errc::head_sent));
      go_on.wait();
      res.print("second");
    }));
    RawClient client(server.port());
    ASSERT_TRUE(client.send(get("/")));
    std::string start = client.read_until("5\r\nfirst\r\n");
    EXPECT_NE(start.find("Transfer-Encoding: chunked\r\n"), std::string::npos);
    go_on.set();
    EXPECT_EQ(client.read_until("0\r\n\r\n"), "6\r\nsecond\r\n0\r\n\r\n");
  });
}

TEST(HttpResponse, FlushOfAnEmptyBodySendsTheHead) {
  run([] {
    Event go_on;
    RunningServer server(writes([&](http::Response& res) {
      res.flush();
      go_on.wait();
    }));
    RawClient client(server.port());
    ASSERT_TRUE(client.send(get("/")));
    client.read_until("\r\n\r\n");
    go_on.set();
    EXPECT_EQ(client.read_until("0\r\n\r\n"), "0\r\n\r\n");
  });
}

TEST(HttpResponse, DeclaredLengthStreamsWithoutChunks) {
  run([] {
    const std::string body = pattern(100'000);
    RunningServer server(writes([&](http::Response& res) {
      res.content_length(body.size());
      res.write(std::string_view(body).substr(0, 10));
      res.flush();
      res.write(std::string_view(body).substr(10));
    }));
    RawClient client(server.port());
    for (int i = 0; i < 2; ++i) {
      RawResponse r = client.roundtrip(get("/"));
      EXPECT_EQ(r.header("Content-Length"), "100000");
      EXPECT_FALSE(r.chunked);
      EXPECT_TRUE(r.body == body);
    }
  });
}

TEST(HttpResponse, WritingBeyondTheDeclaredLengthIsAnErrorAndNotSent) {
  run([] {
    RunningServer server(writes([](http::Response& res) {
      res.content_length(5);
      EXPECT_TRUE(res.write("12345"));
      EXPECT_EQ(res.write("6").error(), make_error_code(http::Errc::content_length));
      EXPECT_EQ(res.error(), make_error_code(http::Errc::content_length));
    }));
    RawClient client(server.port());
    for (int i = 0; i < 2; ++i) EXPECT_EQ(client.roundtrip(get("/")).body, "12345");
  });
}

TEST(HttpResponse, WritingLessThanDeclaredCutsTheConnection) {
  run([] {
    for (bool flush : {false, true}) {
      RunningServer server(writes([&](http::Response& res) {
        res.content_length(10).print("12345");
        if (flush) res.flush();
      }));
      RawClient client(server.port());
      ASSERT_TRUE(client.send(get("/")));
      std::string all = client.read_until_gone();
      EXPECT_NE(all.find("Content-Length: 10\r\n"), std::string::npos);
      EXPECT_TRUE(all.ends_with("\r\n\r\n12345")) << all;
      EXPECT_EQ(server->stats().cut, 1U);
    }
  });
}

TEST(HttpResponse, HeadAnd204And304AndResetCarryNoBody) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
      if (auto code = req.query("code")) res.status(std::stoi(*code));
      res.write(pattern(req.query("big") ? 100'000 : 10));
      if (req.query("flush")) res.flush();
    }});
    RawClient client(server.port());
    for (std::string_view target : {"/?code=204", "/?code=304", "/?code=205", "/?code=204&big=1",
                                    "/?code=304&flush=1", "/?code=205&big=1&flush=1"}) {
      ASSERT_TRUE(client.send(get(target)));
      std::string head = client.read_until("\r\n\r\n");
      EXPECT_EQ(head.find("Transfer-Encoding"), std::string::npos) << target;
      EXPECT_EQ(head.find("Content-Length: 0\r\n") != std::string::npos,
                target.find("205") != std::string::npos)
          << head;
    }
    for (std::string_view target : {"/", "/?big=1", "/?flush=1", "/?big=1&flush=1"}) {
      RawResponse r = client.roundtrip(head(target), RawClient::Request::head);
      EXPECT_EQ(r.status, 200);
      EXPECT_EQ(r.header("Content-Length").value_or("none"), target == "/" ? "10" : "none");
    }
    // Nothing of those bodies is left in the stream.
    EXPECT_EQ(client.roundtrip(get("/")).body, pattern(10));
  });
}

TEST(HttpResponse, HeaderFieldsAreSetAddedAndRemoved) {
  run([] {
    RunningServer server(writes([](http::Response& res) {
      res.header("X-One", "1").header("X-Two", "2").add_header("x-one", "again");
      EXPECT_EQ(res.get_header("X-ONE"), "1");
      res.header("X-Two", "two").remove_header("X-None");
      res.header("X-Three", "3").remove_header("x-THREE");
      res.header("Transfer-Encoding", "chunked").header("Connection", "Upgrade");
      res.content_type("text/css").status(299).print("ok");
    }));
    RawClient client(server.port());
    for (int i = 0; i < 2; ++i) {
      RawResponse r = client.roundtrip(get("/"));
      EXPECT_EQ(r.status, 299);
      EXPECT_EQ(r.count("X-One"), 2U);
      EXPECT_EQ(r.header("X-Two"), "two");
      EXPECT_EQ(r.count("X-Two"), 1U);
      EXPECT_FALSE(r.header("X-Three"));
      EXPECT_FALSE(r.header("Transfer-Encoding"));
      EXPECT_FALSE(r.header("Connection"));
      EXPECT_EQ(r.header("Content-Type"), "text/css");
      EXPECT_EQ(r.count("Content-Type"), 1U);
    }
  });
}

TEST(HttpResponse, HeadLargerThanItsRoomGoesOutWhole) {
  run([] {
    const std::string value(20'000, 'v');
    RunningServer server(writes([&](http::Response& res) {
      res.header("X-Large", value);
      res.write(pattern(20'000));
    }));
    RawClient client(server.port());
    for (int i = 0; i < 2; ++i) {
      RawResponse r = client.roundtrip(get("/"));
      EXPECT_TRUE(r.header("X-Large") == value);
      EXPECT_TRUE(r.body == pattern(20'000));
    }
  });
}

TEST(HttpResponse, RedirectAndErrorReplaceWhatWasWritten) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
      res.header("X-Old", "1").print("old");
      if (req.path() == "/redirect")
        res.redirect("/new", 307);
      else
        res.send_error(418, "short and stout");
      res.header("X-New", "1");
    }});
    RawClient client(server.port());
    RawResponse r = client.roundtrip(get("/redirect"));
    EXPECT_EQ(r.status, 307);
    EXPECT_EQ(r.header("Location"), "/new");
    EXPECT_FALSE(r.header("X-Old"));
    EXPECT_TRUE(r.header("X-New"));
    r = client.roundtrip(get("/error"));
    EXPECT_EQ(r.status, 418);
    EXPECT_EQ(r.body, "short and stout\n");
    EXPECT_FALSE(r.header("X-Old"));
  });
}

TEST(HttpResponse, FilesAreSentInEveryFraming) {
  run([] {
    for (std::size_t size : {100U, 1'000'000U}) {
      const std::string content = pattern(size);
      const net::File file = file_with(content);
      RunningServer server(http::Handler{[&](http::Response& res, const http::Request& req) {
        if (req.query("length")) res.content_length(size - 10 + 6);
        res.print("<<<");
        EXPECT_TRUE(res.send_file(file, 10, size - 10));
        res.print(">>>");
      }});
      const std::string expected = "<<<" + content.substr(10) + ">>>";
      RawClient client(server.port());
      for (std::string_view target : {"/", "/?length=1", "/"})
        EXPECT_TRUE(client.roundtrip(get(target)).body == expected) << target << size;
      EXPECT_TRUE(client.roundtrip("GET / HTTP/1.0\r\n\r\n").body == expected);
    }
  });
}

TEST(HttpResponse, FileThatShrankIsNeverPassedOffAsWhole) {
  run([] {
    const net::File small = file_with(pattern(100));
    const net::File large = file_with(pattern(200'000));
    RunningServer server(http::Handler{[&](http::Response& res, const http::Request& req) {
      const bool chunked = req.query("chunked").has_value();
      const std::uint64_t announced = req.path() == "/small" ? 200 : 300'000;
      if (!chunked) res.content_length(announced);
      auto sent = res.send_file(req.path() == "/small" ? small : large, 0, announced);
      EXPECT_EQ(sent.error(), make_error_code(Errc::eof));
    }});
    EXPECT_EQ(fetch(server.port(), get("/small")).status, 500);
    EXPECT_EQ(fetch(server.port(), get("/small?chunked")).status, 500);
    for (std::string_view target : {"/large", "/large?chunked"}) {
      RawClient client(server.port());
      ASSERT_TRUE(client.send(get(target)));
      std::string all = client.read_until_gone();
      EXPECT_GT(all.size(), 200'000U) << target;
      EXPECT_LT(all.size(), 300'000U) << target;
      EXPECT_FALSE(all.ends_with("0\r\n\r\n")) << target;
    }
  });
}

TEST(HttpResponse, DateIsAnImfFixdate) {
  run([] {
    RunningServer server(writes([](http::Response& res) { res.print("x"); }));
    std::string date = fetch(server.port(), get("/")).header("Date").value_or("");
    ASSERT_EQ(date.size(), 29U);
    EXPECT_EQ(date.substr(3, 2), ", ");
    EXPECT_EQ(date.substr(25), " GMT");
  });
}

}  // namespace
}  // namespace treadle::test
