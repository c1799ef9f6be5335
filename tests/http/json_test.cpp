// JSON bodies: the parser's refusals, small stacks, and both ways through a server.
#include <treadle/http/json.h>

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include <treadle/go.h>
#include <treadle/http/error.h>

#include "e2e/http_fixture.h"
#include "fake_request.h"
#include "runtime/sanitizer.h"

namespace treadle::test {
namespace {

using http::JsonError;
using http::JsonOptions;
using http::parse_json;
using nlohmann::json;

JsonError failure(std::string_view text, const JsonOptions& options = {}) {
  const auto value = parse_json(text, options);
  return value ? JsonError{} : value.error();
}

std::string nested(std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

// Runs `body` on a goroutine with the smallest stack there is.
template <class Body>
void on_a_small_stack(Body body) {
#if TREADLE_ASAN || TREADLE_TSAN
  constexpr std::size_t kSmall = 8 * 1024 * 1024;  // unoptimised frames, with their guards
#else
  constexpr std::size_t kSmall = 64 * 1024;
#endif
  run([&] {
    WaitGroup done;
    done.add(1);
    treadle::go(
        [&] {
          body();
          done.done();
        },
        GoOptions{.stack_size = kSmall});
    done.wait();
  });
}

std::string json_post(std::string_view body, std::string_view type = "application/json") {
  return post("/", body, "Content-Type: " + std::string(type) + "\r\n");
}

}  // namespace

TEST(JsonParse, EveryKindOfValueIsBuilt) {
  for (const char* text :
       {"null", "true", "false", "0", "-1", "18446744073709551615", "1.5e3", "\"a\\u00e9\\n\"",
        "[]", "{}", "[1,[2,[]],{\"a\":{}}]", " {\"a\": [1, {\"b\": null}], \"c\": \"d\"}\r\n\t ",
        "{\"\":1,\"A\":2,\"a\":3}", "\xef\xbb\xbf[1]"}) {
    const auto ours = parse_json(text);
    ASSERT_TRUE(ours.has_value()) << text << ": " << ours.error().reason;
    EXPECT_EQ(*ours, json::parse(text)) << text;
  }
}

TEST(JsonParse, WhatIsNoJsonIsRefused) {
  using namespace std::literals;
  for (const std::string& text :
       {""s,           " "s,   "x"s,   "[1,]"s,   "[1 2]"s,   "{\"a\"}"s,     "{a:1}"s,
        "{\"a\":1,}"s, "'a'"s, "01"s,  "+1"s,     "1."s,      ".5"s,          "NaN"s,
        "Infinity"s,   "nul"s, "\"a"s, "\"\t\""s, "\"\\x\""s, "\"\\ud800\""s, "// c\n1"s,
        "/* c */1"s,   "[1"s,  "]"s,   "1]"s,     "{} {}"s,   "[]x"s,         "\xfe\xff\0[\0]"s}) {
    EXPECT_EQ(failure(text).code, http::Errc::malformed_json) << text;
  }
}

TEST(JsonParse, InvalidUtf8IsRefused) {
  for (const char* text : {"\"\xff\"", "\"\xc3\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"",
                           "\"\xf4\x90\x80\x80\"", "{\"\x80\":1}", "\xff"})
    EXPECT_EQ(failure(text).code, http::Errc::malformed_json) << text;
}

// The library ends its input at a NUL; what stands behind it must not go unseen.
TEST(JsonParse, NulIsRefusedWhereverItStands) {
  using namespace std::literals;
  for (const std::string& text : {"{}\0"s, "{}\0{}"s, "\0"s, "\"a\0b\""s, "1\0"s, "[\0]"s})
    EXPECT_EQ(failure(text).code, http::Errc::malformed_json);
  EXPECT_EQ(failure("{}\0{}"s).position, 3u);
}

TEST(JsonParse, NamesThatComeTwiceAreRefused) {
  EXPECT_EQ(failure(R"({"a":1,"a":1})").code, http::Errc::malformed_json);
  EXPECT_EQ(failure(R"([{"b":{"a":1,"\u0061":2}}])").code, http::Errc::malformed_json);
  EXPECT_FALSE(failure(R"([{"a":{"a":1}},{"a":2}])").code);
}

TEST(JsonParse, NumbersThatNothingHoldsAreRefused) {
  EXPECT_EQ(failure("1e999").code, http::Errc::malformed_json);
  EXPECT_EQ(failure("[-1e999]").code, http::Errc::malformed_json);
  EXPECT_FALSE(failure("1e-999").code);
  EXPECT_FALSE(failure(std::string(300, '9')).code);
  EXPECT_EQ(failure(std::string(1'000'000, '9')).code, http::Errc::malformed_json);
}

TEST(JsonParse, DepthIsBoundedWhileItIsParsed) {
  EXPECT_FALSE(failure(nested(100)).code);
  EXPECT_EQ(failure(nested(101)).code, http::Errc::json_too_deep);
  EXPECT_EQ(failure(nested(101)).position, 101u);
  EXPECT_EQ(failure(std::string(10'000'000, '[')).position, 101u);
  std::string objects;
  for (int i = 0; i < 101; ++i) objects += "{\"a\":";
  EXPECT_EQ(failure(objects).code, http::Errc::json_too_deep);
  EXPECT_FALSE(failure("1", {.depth = 0}).code);
  EXPECT_EQ(failure("[]", {.depth = 0}).code, http::Errc::json_too_deep);
  EXPECT_EQ(failure("[[]]", {.depth = 1}).code, http::Errc::json_too_deep);
  EXPECT_FALSE(failure("[{},{},[]]", {.depth = 2}).code);
  EXPECT_THROW(failure("1", {.depth = 201}), Panic);
}

TEST(JsonParse, ValuesAreCounted) {
  EXPECT_FALSE(failure("[1,2]", {.values = 3}).code);
  EXPECT_EQ(failure("[1,2]", {.values = 2}).code, http::Errc::json_too_large);
  EXPECT_EQ(failure(R"({"a":1,"b":[]})", {.values = 2}).code, http::Errc::json_too_large);
  std::string many = "[";
  for (int i = 0; i < 1'000'000; ++i) many += "[],";
  EXPECT_EQ(failure(many).code, http::Errc::json_too_large);
}

TEST(JsonParse, ErrorsSayWhereAndWhyWithoutTheText) {
  const JsonError e = failure("{\"a\": secret}");
  EXPECT_EQ(e.position, 7u);
  EXPECT_EQ(std::string(e.reason).find("secret"), std::string::npos);
  EXPECT_EQ(failure("[1,2]]").position, 6u);
}

TEST(JsonStack, BracketsNeverOverflowASmallStack) {
  on_a_small_stack([] {
    for (const std::size_t size : {4'096U, 10'000'000U}) {
      for (const char* unit : {"[", "{\"a\":", "[{\"a\":", "[[],"}) {
        std::string text;
        while (text.size() < size) text += unit;
        EXPECT_EQ(failure(text).code, http::Errc::json_too_deep) << unit;
      }
    }
  });
}

TEST(JsonStack, DeepestValueIsBuiltPrintedAndDestroyedOnASmallStack) {
  on_a_small_stack([] {
    std::string text = nested(200);
    auto value = parse_json(text, {.depth = 200});
    ASSERT_TRUE(value.has_value());
    FakeRequest fake("application/json", text);
    EXPECT_TRUE(http::read_json(fake.request, {.depth = 200}).has_value());
    EXPECT_EQ(value->dump(), text);
  });
}

// ---- through a server

TEST(JsonServer, ValuesGoBothWays) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
      auto value = http::read_json(req);
      if (!value) return;
      (*value)["seen"] = true;
      http::write_json(res.status(201), *value);
    }});
    RawClient client(server.port());
    for (const char* type : {"application/json", "Application/JSON; charset=utf-8",
                             "application/problem+json", "image/x+json"}) {
      const RawResponse r = client.roundtrip(json_post("{\"b\":[1,\"\xc3\xa9\"]}", type));
      EXPECT_EQ(r.status, 201) << type;
      EXPECT_EQ(r.body, "{\"b\":[1,\"\xc3\xa9\"],\"seen\":true}");
      EXPECT_EQ(r.header("Content-Type"), "application/json");
    }
  });
}

TEST(JsonServer, FailuresAreAnsweredForTheHandler) {
  run([] {
    http::ServerOptions options;
    options.limits.body = 1'000'000;
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
                           const auto value =
                               http::read_json(req, {.values = 1000, .size = 100'000});
                           if (value) res.print("fine");
                         }},
                         options);
    RawClient client(server.port());
    const auto status = [&](std::string_view body, std::string_view type = "application/json") {
      const RawResponse r = client.roundtrip(json_post(body, type));
      EXPECT_LE(r.body.size(), 60u);
      return r.status;
    };
    EXPECT_EQ(status("[1]"), 200);
    EXPECT_EQ(status("[1"), 400);
    EXPECT_EQ(status(""), 400);
    EXPECT_EQ(status(std::string(4096, '[')), 400);
    EXPECT_EQ(status("[1]", "text/json"), 415);
    EXPECT_EQ(status("[1]", "application/x-www-form-urlencoded"), 415);
    EXPECT_EQ(status("[1]", "+json"), 415);
    std::string many = "[0";
    for (int i = 0; i < 2000; ++i) many += ",0";
    EXPECT_EQ(status(many + "]"), 413);
    EXPECT_EQ(fetch(server.port(), json_post("\"" + std::string(200'000, 'x') + "\"")).status, 413);
    EXPECT_EQ(fetch(server.port(), json_post(std::string(2'000'000, '['))).status, 413);
    EXPECT_EQ(fetch(server.port(), get("/")).status, 415);
  });
}

TEST(JsonServer, HandlersOwnContentTypeStays) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request&) {
      http::write_json(res.content_type("application/problem+json"), {{"title", "no"}});
      res.flush();
      http::write_json(res, std::numeric_limits<double>::infinity());
    }});
    const RawResponse r = fetch(server.port(), get("/"));
    EXPECT_EQ(r.header("Content-Type"), "application/problem+json");
    EXPECT_EQ(r.body, "{\"title\":\"no\"}null");
  });
}

TEST(JsonServer, WhatCannotBePrintedIsAnErrorAnd500) {
  run([] {
    std::error_code seen;
    json value;
    RunningServer server(http::Handler{[&](http::Response& res, const http::Request&) {
      res.status(201).print("before");
      const Result<void> written = http::write_json(res, value);
      if (!written) seen = written.error();
    }});
    json deep = 1;
    for (int i = 0; i < 201; ++i) deep = json::array({std::move(deep)});
    json unprintable[] = {json("a\xff"), json{{"\xc3", 1}}, std::move(deep)};
    for (json& bad : unprintable) {
      value = std::move(bad);  // a copy would recurse, by frames that may be large
      seen = {};
      const RawResponse r = fetch(server.port(), get("/"));
      EXPECT_EQ(r.status, 500);
      EXPECT_EQ(r.body, "Internal Server Error\n");
      EXPECT_EQ(seen, http::Errc::unprintable_json);
    }
  });
}

}  // namespace treadle::test
