// What handlers may and may not send, as the raw bytes a client gets (RFC 9110 6, 15; RFC 9112 6).
#include <array>
#include <functional>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <vector>

#include "http_fixture.h"
#include "support/captured_stderr.h"

namespace treadle::test {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;
using http::Request;
using http::Response;

using Answer = std::function<void(Response&, const Request&)>;

// A server whose handler can be another for each request.
class Answers {
 public:
  std::uint16_t port() const { return server_.port(); }
  http::Server* operator->() noexcept { return &*server_; }
  Answers& operator=(Answer next) {
    next_ = std::move(next);
    return *this;
  }

 private:
  Answer next_;
  RunningServer server_{
      http::Handler{[this](Response& res, const Request& req) { next_(res, req); }}};
};

// All that comes for one request with `Connection: close`.
std::string all_of(Answers& answers, std::string_view request) {
  RawClient client(answers.port());
  client.send(request);
  return client.read_until_gone();
}
std::string closing(std::string_view line = "GET / HTTP/1.1") {
  return std::string(line) + "\r\nHost: h\r\nConnection: close\r\n\r\n";
}

std::string body_of(std::string_view message) {
  const std::size_t end = message.find("\r\n\r\n");
  return end == std::string_view::npos ? "no end of the head"
                                       : std::string(message.substr(end + 4));
}

TEST(RawResponses, WhatMustNotStandInAHeadIsA500WithNothingOfIt) {
  run([] {
    const CapturedStderr captured;
    Answers answers;
    struct Case {
      const char* what;
      std::function<void(Response&)> wrong;
    };
    const std::vector<Case> cases = {
        {"name with a space", [](Response& r) { r.header("X Injected", "1"); }},
        {"empty name", [](Response& r) { r.header("", "Injected"); }},
        {"name with a colon", [](Response& r) { r.header("X: Injected", "1"); }},
        {"name with CRLF", [](Response& r) { r.header("X\r\nInjected", "1"); }},
        {"name with LF", [](Response& r) { r.add_header("X\nInjected", "1"); }},
        {"name with NUL", [](Response& r) { r.header("X\0Injected"sv, "1"); }},
        {"name beyond ASCII", [](Response& r) { r.header("X\xc3\xa9Injected", "1"); }},
        {"name with a tab", [](Response& r) { r.header("X\tInjected", "1"); }},
        {"value with CRLF", [](Response& r) { r.header("X", "a\r\nInjected: 1"); }},
        {"value with CR", [](Response& r) { r.header("X", "a\rInjected: 1"); }},
        {"value with LF", [](Response& r) { r.add_header("X", "a\nInjected: 1"); }},
        {"value with NUL", [](Response& r) { r.add_header("X", "a\0Injected"sv); }},
        {"value with DEL", [](Response& r) { r.header("X", "a\x7fInjected"); }},
        {"value with ESC", [](Response& r) { r.header("X", "a\x1bInjected"); }},
        {"content type with CRLF", [](Response& r) { r.content_type("a/b\r\nInjected: 1"); }},
        {"location with CRLF", [](Response& r) { r.redirect("/\r\nInjected: 1"); }},
        {"location with LF", [](Response& r) { r.redirect("/\nInjected", 307); }},
        {"location with NUL", [](Response& r) { r.redirect("/\0Injected"sv); }},
        {"cookie with CRLF", [](Response& r) { r.header("Set-Cookie", "a=b\r\nInjected: 1"); }},
        {"length that is none", [](Response& r) { r.header("Content-Length", "12x"); }},
        {"negative length", [](Response& r) { r.header("Content-Length", "-1"); }},
        {"signed length", [](Response& r) { r.header("Content-Length", "+1"); }},
        {"list of lengths", [](Response& r) { r.header("Content-Length", "1, 1"); }},
        {"empty length", [](Response& r) { r.header("Content-Length", ""); }},
        {"length with CRLF", [](Response& r) { r.header("Content-Length", "1\r\nInjected: 1"); }},
        {"length beyond 64 bits",
         [](Response& r) { r.add_header("Content-Length", "18446744073709551616"); }},
        {"status 0", [](Response& r) { r.status(0); }},
        {"negative status", [](Response& r) { r.status(-200); }},
        {"status 100", [](Response& r) { r.status(100); }},
        {"status 101", [](Response& r) { r.status(101); }},
        {"status 103", [](Response& r) { r.status(103); }},
        {"status 199", [](Response& r) { r.status(199); }},
        {"status 1000", [](Response& r) { r.status(1000); }},
        {"redirect with status 0", [](Response& r) { r.redirect("/", 0); }},
        {"error with status 1000", [](Response& r) { r.send_error(1000); }},
    };
    RawClient client(answers.port());
    for (const Case& c : cases) {
      answers = [&](Response& res, const Request&) {
        res.status(201).header("Set-Cookie", "secret=1").header("ETag", "\"lost\"");
        res.print("half an answer");
        c.wrong(res);
        ADD_FAILURE() << c.what << " did not panic";
      };
      const RawResponse r = client.roundtrip(get("/guilty"));
      EXPECT_EQ(r.status, 500) << c.what;
      EXPECT_EQ(r.body, "Internal Server Error\n") << c.what;
      for (std::string_view lost : {"Injected", "secret", "lost", "half"})
        EXPECT_EQ(r.raw.find(lost), std::string::npos) << r.raw;
      // The connection is none the worse for it.
      answers = [](Response& res, const Request&) { res.print("next"); };
      EXPECT_EQ(client.roundtrip(get("/")).body, "next") << c.what;
    }
    EXPECT_EQ(answers->stats().accepted, 1U);
    std::size_t logged = 0;
    for (const std::string& line : captured.lines()) {
      if (line.find("handler failed") == std::string::npos) continue;
      ++logged;
      EXPECT_NE(line.find("GET /guilty"), std::string::npos) << line;
      EXPECT_NE(line.find("127.0.0.1:"), std::string::npos) << line;
    }
    EXPECT_EQ(logged, cases.size());
  });
}

TEST(RawResponses, EveryByteOfAFieldValueIsEitherSentAsItIsOrPanics) {
  run([] {
    const CapturedStderr captured;
    Answers answers;
    RawClient client(answers.port());
    for (int byte = 0; byte < 256; ++byte) {
      const std::string value = "a" + std::string(1, static_cast<char>(byte)) + "b";
      answers = [&](Response& res, const Request&) { res.header("X-Value", value).print("ok"); };
      const RawResponse r = client.roundtrip(get("/"));
      const bool legal = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
      EXPECT_EQ(r.status, legal ? 200 : 500) << byte;
      EXPECT_EQ(r.header("X-Value").value_or("none"), legal ? value : "none") << byte;
    }
  });
}

TEST(RawResponses, FramingFieldsBelongToTheServer) {
  run([] {
    Answers answers;
    answers = [](Response& res, const Request& req) {
      res.header("Transfer-Encoding", "gzip, chunked").add_header("transfer-encoding", "chunked");
      res.header("Connection", "keep-alive, upgrade").header("CONTENT-LENGTH", "3");
      res.add_header("Content-Length", "2");
      res.print("ok");
      if (req.path() == "/big") res.remove_header("content-length"), res.write(pattern(20'000));
    };
    RawClient client(answers.port());
    for (int i = 0; i < 2; ++i) {
      const RawResponse r = client.roundtrip(get("/"));
      EXPECT_EQ(r.count("Content-Length"), 1U) << r.raw;
      EXPECT_EQ(r.header("Content-Length"), "2");
      EXPECT_EQ(r.count("Transfer-Encoding"), 0U);
      EXPECT_EQ(r.count("Connection"), 0U);
      EXPECT_EQ(r.body, "ok");
    }
    const RawResponse r = client.roundtrip(get("/big"));
    EXPECT_EQ(r.count("Content-Length"), 0U) << r.raw.substr(0, 300);
    EXPECT_EQ(r.count("Transfer-Encoding"), 1U);
    EXPECT_EQ(r.header("Transfer-Encoding"), "chunked");
    EXPECT_EQ(r.body, "ok" + pattern(20'000));
  });
}

TEST(RawResponses, NothingIsSentBeyondTheDeclaredLength) {
  run([] {
    Answers answers;
    struct Case {
      const char* what;
      Answer answer;
      std::string body;
    };
    const std::vector<Case> cases = {
        {"one write too many",
         [](Response& res, const Request&) {
           res.content_length(5).print("12345");
           EXPECT_EQ(res.write("6").error(), make_error_code(http::Errc::content_length));
         },
         "12345"},
        {"behind a flush",
         [](Response& res, const Request&) {
           res.content_length(5).print("12345");
           res.flush();
           EXPECT_FALSE(res.print("HTTP/1.1 200 OK\r\n\r\n"));
         },
         "12345"},
        {"none wanted",
         [](Response& res, const Request&) {
           res.content_length(0);
           EXPECT_FALSE(res.print("x"));
         },
         ""},
        {"the error sticks",
         [](Response& res, const Request&) {
           res.content_length(2).print("ok");
           EXPECT_FALSE(res.print("x"));
           EXPECT_FALSE(res.flush());
           EXPECT_EQ(res.error(), make_error_code(http::Errc::content_length));
         },
         "ok"},
    };
    const CapturedStderr captured;
    for (const Case& c : cases) {
      answers = c.answer;
      const std::string all = all_of(answers, closing());
      EXPECT_EQ(body_of(all), c.body) << c.what << '\n' << all;
      EXPECT_NE(all.find("Content-Length: " + std::to_string(c.body.size()) + "\r\n"),
                std::string::npos)
          << all;
    }
  });
}

TEST(RawResponses, IncompleteOnesEndWithoutTheirEnd) {
  run([] {
    const CapturedStderr captured;
    Answers answers;
    struct Case {
      const char* what;
      Answer answer;
      std::string body;  // its raw bytes, framing included
    };
    const std::string big = pattern(20'000);
    const std::vector<Case> cases = {
        {"less than declared, buffered",
         [](Response& res, const Request&) { res.content_length(10).print("12345"); }, "12345"},
        {"less than declared, flushed",
         [](Response& res, const Request&) {
           res.content_length(10).print("12345");
           res.flush();
         },
         "12345"},
        {"a write too large for the rest is not sent in part",
         [](Response& res, const Request&) {
           res.content_length(10).print("12345");
           EXPECT_FALSE(res.print("678901"));
         },
         "12345"},
        {"nothing of what was declared",
         [](Response& res, const Request&) { res.content_length(10).flush(); }, ""},
        {"exception behind a flush",
         [](Response& res, const Request&) {
           res.print("half");
           res.flush();
           throw std::runtime_error("too late");
         },
         "4\r\nhalf\r\n"},
        {"exception with more in the buffer",
         [](Response& res, const Request&) {
           res.print("half");
           res.flush();
           res.print("never sent");
           throw 42;
         },
         "4\r\nhalf\r\n"},
        {"exception of a declared length",
         [](Response& res, const Request&) {
           res.content_length(10).print("12345");
           res.flush();
           throw Panic("too late");
         },
         "12345"},
        {"exception past the buffer",
         [&](Response& res, const Request&) {
           res.write(big);
           throw std::runtime_error("too late");
         },
         "4e20\r\n" + big + "\r\n"},
        {"panic for a field too late",
         [](Response& res, const Request&) {
           res.flush();
           res.header("X-Late", "1");
         },
         ""},
    };
    std::uint64_t cut = 0;
    for (const Case& c : cases) {
      answers = c.answer;
      // Pipelined behind it is a request that must not be answered.
      const std::string all = all_of(answers, get("/") + get("/next"));
      EXPECT_TRUE(body_of(all) == c.body) << c.what << '\n' << all.substr(0, 500);
      EXPECT_TRUE(all.starts_with("HTTP/1.1 200 OK\r\n")) << c.what;
      EXPECT_EQ(answers->stats().cut, ++cut) << c.what;
    }
  });
}

TEST(RawResponses, ExceptionBeforeTheHeadIs500WhateverWasWritten) {
  run([] {
    const CapturedStderr captured;
    Answers answers;
    answers = [](Response& res, const Request&) {
      res.status(201).header("Set-Cookie", "a=b").content_length(99'000);
      res.write(pattern(16'000));
      throw std::runtime_error("no such luck");
    };
    RawClient client(answers.port());
    for (int i = 0; i < 2; ++i) {
      const RawResponse r = client.roundtrip(get("/"));
      EXPECT_EQ(r.status, 500);
      EXPECT_EQ(r.body, "Internal Server Error\n");
      EXPECT_EQ(r.count("Set-Cookie"), 0U);
      EXPECT_EQ(r.count("Content-Length"), 1U);
    }
    EXPECT_EQ(client.roundtrip(head("/"), RawClient::Request::head).status, 500);
    EXPECT_EQ(client.roundtrip(get("/")).status, 500);
    EXPECT_NE(captured.text().find("no such luck"), std::string::npos);
  });
}

TEST(RawResponses, StatusesAndMethodsWithoutABodyHaveNone) {
  run([] {
    const CapturedStderr captured;
    Answers answers;
    struct Case {
      std::string_view method;
      int status;
      std::string_view length;  // what Content-Length says
    };
    for (const Case& c : std::initializer_list<Case>{{"GET", 204, "none"},
                                                     {"GET", 304, "none"},
                                                     {"GET", 205, "0"},
                                                     {"HEAD", 200, "10"},
                                                     {"HEAD", 404, "10"},
                                                     {"HEAD", 204, "none"},
                                                     {"HEAD", 304, "none"},
                                                     {"POST", 204, "none"},
                                                     {"OPTIONS", 204, "none"}}) {
      for (std::size_t size : {10U, 40'000U}) {
        for (bool flush : {false, true}) {
          const std::string what = std::string(c.method) + " " + std::to_string(c.status) + " " +
                                   std::to_string(size) + (flush ? " flushed" : "");
          answers = [&](Response& res, const Request& req) {
            if (req.path() == "/next") {
              res.print("next");
              return;
            }
            res.status(c.status);
            res.write(std::string_view(pattern(size)).substr(0, size));
            if (flush) res.flush();
            res.print("more");
          };
          RawClient client(answers.port());
          client.send(std::string(c.method) +
                      " / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n" + get("/next"));
          const std::string first = client.read_until("\r\n\r\n");
          EXPECT_EQ(first.find("Transfer-Encoding"), std::string::npos) << what << first;
          const bool has_length = first.find("Content-Length: ") != std::string::npos;
          if (c.length != "10") {
            EXPECT_EQ(has_length, c.length != "none") << what << first;
          }
          // Its head is followed by the next response at once.
          const RawResponse next = client.read_response();
          EXPECT_EQ(next.status, 200) << what;
          EXPECT_EQ(next.body, "next") << what;
        }
      }
    }
    EXPECT_EQ(captured.text(), "") << "what is dropped by rule is nobody's fault";
  });
}

TEST(RawResponses, LengthOf304AndHeadIsTheHandlersAndNoBodyFollows) {
  run([] {
    Answers answers;
    answers = [](Response& res, const Request& req) {
      if (req.path() == "/304") res.status(304);
      if (req.path() == "/204") res.status(204);
      res.content_length(1'000'000);
    };
    RawClient client(answers.port());
    client.send(get("/304") + head("/head") + get("/204") + closing("HEAD / HTTP/1.1"));
    EXPECT_NE(client.read_until("\r\n\r\n").find("Content-Length: 1000000\r\n"), std::string::npos);
    EXPECT_NE(client.read_until("\r\n\r\n").find("Content-Length: 1000000\r\n"), std::string::npos);
    EXPECT_EQ(client.read_until("\r\n\r\n").find("Content-Length"), std::string::npos);
    EXPECT_NE(client.read_until("\r\n\r\n").find("Content-Length: 1000000\r\n"), std::string::npos);
    EXPECT_EQ(client.read_until_close(), "");
    EXPECT_EQ(answers->stats().cut, 0U);
  });
}

TEST(RawResponses, HeadCommitsAtFlushOrPast16KiB) {
  run([] {
    Answers answers;
    constexpr std::size_t kBuffer = 16 * 1024;
    answers = [&](Response& res, const Request& req) {
      const std::string body = pattern(kBuffer);
      res.write(std::string_view(body).substr(0, kBuffer - 1));
      EXPECT_FALSE(res.head_sent());
      res.write(std::string_view(body).substr(kBuffer - 1));
      EXPECT_FALSE(res.head_sent());
      res.status(203);
      if (req.path() == "/past") {
        res.write("!");
        EXPECT_TRUE(res.head_sent());
      } else if (req.path() == "/flush") {
        res.flush();
        EXPECT_TRUE(res.head_sent());
      }
    };
    RawClient client(answers.port());
    RawResponse r = client.roundtrip(get("/"));
    EXPECT_EQ(r.status, 203);
    EXPECT_EQ(r.header("Content-Length"), "16384");
    EXPECT_TRUE(r.body == pattern(kBuffer));
    r = client.roundtrip(get("/past"));
    EXPECT_TRUE(r.chunked);
    EXPECT_TRUE(r.body == pattern(kBuffer) + "!");
    r = client.roundtrip(get("/flush"));
    EXPECT_TRUE(r.chunked);
    EXPECT_TRUE(r.body == pattern(kBuffer));
  });
}

TEST(RawResponses, Http10GetsNoChunksAndNoInterimAnswer) {
  run([] {
    Answers answers;
    answers = [](Response& res, const Request& req) {
      if (req.path() == "/stream") res.print("a"), res.flush();
      if (req.path() == "/big") res.write(pattern(50'000));
      if (auto body = req.body().read_all()) res.print("b{}", *body);
    };
    const auto old = [](std::string_view path, std::string_view fields = {},
                        std::string_view body = {}) {
      return "POST " + std::string(path) + " HTTP/1.0\r\n" + std::string(fields) + "\r\n" +
             std::string(body);
    };
    for (std::string_view keep : {"", "Connection: keep-alive\r\n"}) {
      std::string all = all_of(answers, old("/stream", keep));
      EXPECT_EQ(all.find("chunked"), std::string::npos) << all;
      EXPECT_NE(all.find("Connection: close\r\n"), std::string::npos) << all;
      EXPECT_EQ(body_of(all), "ab");
      all = all_of(answers, old("/big", keep));
      EXPECT_TRUE(body_of(all) == pattern(50'000) + "b");
    }
    const std::string all =
        all_of(answers, old("/", "Expect: 100-continue\r\nContent-Length: 1\r\n", "c"));
    EXPECT_TRUE(all.starts_with("HTTP/1.1 200 ")) << all;
    EXPECT_EQ(body_of(all), "bc");
    // With a length it may be kept.
    RawClient client(answers.port());
    for (int i = 0; i < 2; ++i) {
      const RawResponse r = client.roundtrip(old("/", "Connection: keep-alive\r\n"));
      EXPECT_EQ(r.header("Connection"), "keep-alive");
      EXPECT_EQ(r.body, "b");
    }
  });
}

TEST(RawResponses, BodyLeftUnreadIsDrainedUpTo256KiB) {
  run([] {
    Answers answers;
    answers = [](Response& res, const Request&) { res.print("unread"); };
    constexpr std::size_t kMost = 256 * 1024;
    RawClient client(answers.port());
    // One more request behind it shows that the drained bytes were exactly the body's.
    client.send(post("/", pattern(kMost)) + get("/next"));
    RawResponse r = client.read_response();
    EXPECT_FALSE(r.header("Connection"));
    EXPECT_EQ(client.read_response().body, "unread");
    client.send(post("/", pattern(kMost + 1)) + get("/next"));
    r = client.read_response();
    EXPECT_EQ(r.body, "unread");
    EXPECT_EQ(r.header("Connection"), "close");
    EXPECT_EQ(client.read_until_close(), "");
  });
}

TEST(RawResponses, ChunkedBodyTooLongToDrainEndsTheConnection) {
  run([] {
    Answers answers;
    answers = [](Response& res, const Request&) { res.print("unread"); };
    std::string all = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    const std::string chunk = "8000\r\n" + std::string(0x8000, 'c') + "\r\n";
    for (int i = 0; i < 10; ++i) all += chunk;
    all += "0\r\n\r\n";
    RawClient client(answers.port());
    client.send(all + get("/next"));
    EXPECT_EQ(client.read_response().body, "unread");
    EXPECT_EQ(client.read_until_close(), "");
    EXPECT_EQ(answers->stats().requests, 1U);
  });
}

TEST(RawResponses, HandlerThatSaysNothingIsAnEmpty200) {
  run([] {
    Answers answers;
    answers = [](Response&, const Request&) {};
    const std::string all = all_of(answers, closing());
    EXPECT_TRUE(all.starts_with("HTTP/1.1 200 OK\r\n")) << all;
    EXPECT_NE(all.find("Content-Length: 0\r\n"), std::string::npos) << all;
    EXPECT_EQ(all.find("Content-Type"), std::string::npos) << all;
    EXPECT_EQ(body_of(all), "");
  });
}

TEST(RawResponses, DateIsOnceWhoeverSetsIt) {
  run([] {
    Answers answers;
    answers = [](Response& res, const Request& req) {
      if (req.path() == "/own") res.header("date", "Sun, 06 Nov 1994 08:49:37 GMT");
      res.print("x");
    };
    RawClient client(answers.port());
    EXPECT_EQ(client.roundtrip(get("/")).count("Date"), 1U);
    const RawResponse r = client.roundtrip(get("/own"));
    EXPECT_EQ(r.count("Date"), 1U);
    EXPECT_EQ(r.header("Date"), "Sun, 06 Nov 1994 08:49:37 GMT");
  });
}

}  // namespace
}  // namespace treadle::test
