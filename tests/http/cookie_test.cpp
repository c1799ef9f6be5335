// pure
#include <treadle/http/cookie.h>

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <treadle/result.h>

using namespace treadle::http;
using namespace std::chrono_literals;
using treadle::Panic;

namespace {

// "name=value|" of each cookie.
std::string read(CookieReader cookies) {
  std::string all;
  while (const auto c = cookies.next()) {
    all.append(c->name).append("=").append(c->value).append("|");
  }
  return all;
}

std::string panic_of(const Cookie& cookie) {
  try {
    format_cookie(cookie);
  } catch (const Panic& panic) {
    return panic.what();
  }
  return {};
}

}  // namespace

TEST(CookieReader, PairsComeInTheirOrder) {
  EXPECT_EQ(read(CookieReader("a=1; b=2; a=3")), "a=1|b=2|a=3|");
  EXPECT_EQ(read(CookieReader("a=1;b=2")), "a=1|b=2|");
  EXPECT_EQ(read(CookieReader("")), "");
}

TEST(CookieReader, WhatScriptsAndOtherServersLeaveIsTaken) {
  const std::pair<const char*, const char*> cases[] = {
      {"a=\"x y\"", "a=\"x y\"|"},      // quotes belong to the value
      {"a=b=c==", "a=b=c==|"},          // the first '=' ends the name
      {"a=", "a=|"},                    // empty value
      {"=a", "=a|"},                    // empty name
      {"a", "=a|"},                     // no '=': a value without a name
      {"; ;;a=1;; ;b=2;", "a=1|b=2|"},  // emptiness
      {" \ta = 1\t; b=2", "a=1|b=2|"},  // white space
      {"a=1,2; b={\"x\":3}", "a=1,2|b={\"x\":3}|"},
      {"a=\xc3\xa9", "a=\xc3\xa9|"},
      {"$Version=1; a=1", "$Version=1|a=1|"},
  };
  for (const auto& [sent, expected] : cases) EXPECT_EQ(read(CookieReader(sent)), expected) << sent;
}

TEST(CookieReader, SeveralFieldsCountAsOne) {
  const std::vector<HeaderField> fields = {
      {"Host", "h"}, {"cookie", "a=1; b=2"}, {"X", "c=3"}, {"Cookie", ""}, {"COOKIE", "d=4"}};
  EXPECT_EQ(read(CookieReader(HeaderView(fields))), "a=1|b=2|d=4|");
  EXPECT_EQ(read(CookieReader(HeaderView())), "");
}

TEST(CookieReader, ManyCookiesAreWalkedToTheEnd) {
  std::string sent;
  for (int i = 0; i < 16'000; ++i) sent += "a;";
  std::size_t n = 0;
  CookieReader cookies(sent);
  while (cookies.next()) ++n;
  EXPECT_EQ(n, 16'000u);
}

TEST(CookieFormat, PartsStandInTheirOrder) {
  EXPECT_EQ(format_cookie({.name = "a"}), "a=");
  EXPECT_EQ(format_cookie({.name = "a", .value = "b/c=!#"}), "a=b/c=!#");
  EXPECT_EQ(format_cookie({.name = "__Host-a",
                           .value = "1",
                           .path = "/",
                           .expires = std::chrono::sys_seconds(784111777s),
                           .max_age = 60s,
                           .secure = true,
                           .http_only = true,
                           .same_site = SameSite::none,
                           .partitioned = true}),
            "__Host-a=1; Path=/; Expires=Sun, 06 Nov 1994 08:49:37 GMT; Max-Age=60; Secure; "
            "HttpOnly; SameSite=None; Partitioned");
  EXPECT_EQ(format_cookie({.name = "a", .domain = "example.org", .same_site = SameSite::strict}),
            "a=; Domain=example.org; SameSite=Strict");
  EXPECT_EQ(format_cookie({.name = "a", .same_site = SameSite::lax}), "a=; SameSite=Lax");
}

TEST(CookieFormat, NegativeAgeDeletesAtOnce) {
  EXPECT_EQ(format_cookie({.name = "a", .max_age = -5s}), "a=; Max-Age=0");
  EXPECT_EQ(format_cookie({.name = "a", .max_age = 0s}), "a=; Max-Age=0");
}

TEST(CookieFormat, EveryInvalidBytePanicsInEveryField) {
  using namespace std::literals;
  for (const std::string& bad : {"\r"s, "\n"s, "\0"s, ";"s, "\x7f"s, "\x01"s, "\xe9"s}) {
    const std::string text = "/a" + bad + "b";
    EXPECT_NE(panic_of({.name = "a" + bad}), "") << int{bad[0]};
    EXPECT_NE(panic_of({.name = "a", .value = text}), "") << int{bad[0]};
    EXPECT_NE(panic_of({.name = "a", .path = text}), "") << int{bad[0]};
    EXPECT_NE(panic_of({.name = "a", .domain = "a" + bad}), "") << int{bad[0]};
  }
  for (const char* bad : {" ", "\"", ",", "\\", "\t"}) {
    EXPECT_NE(panic_of({.name = "a", .value = bad}), "") << bad;
    EXPECT_NE(panic_of({.name = bad}), "") << bad;
  }
  EXPECT_NE(panic_of({.name = ""}), "");
  EXPECT_NE(panic_of({.name = "a=b"}), "");
  EXPECT_NE(panic_of({.name = "a", .path = "b"}), "");
  EXPECT_NE(panic_of({.name = "a", .domain = "a b"}), "");
}

TEST(CookieFormat, PanicNeverQuotesAnInvalidName) {
  EXPECT_EQ(panic_of({.name = "a\r\nb"}), "treadle::http: cookie: its name is no token");
  EXPECT_EQ(panic_of({.name = "a", .value = ";"}),
            "treadle::http: cookie \"a\": invalid byte in its value");
}

TEST(CookieFormat, BrokenPromisesPanic) {
  EXPECT_NE(panic_of({.name = "a", .same_site = SameSite::none}), "");
  EXPECT_NE(panic_of({.name = "a", .partitioned = true}), "");
  EXPECT_NE(panic_of({.name = "__Secure-a"}), "");
  EXPECT_NE(panic_of({.name = "__secURE-a"}), "");
  EXPECT_NE(panic_of({.name = "__Host-a", .path = "/"}), "");
  EXPECT_NE(panic_of({.name = "__Host-a", .secure = true}), "");
  EXPECT_NE(panic_of({.name = "__host-a", .path = "/b", .secure = true}), "");
  EXPECT_NE(panic_of({.name = "__Host-a", .path = "/", .domain = "h", .secure = true}), "");
}

TEST(CookieFormat, KeptPromisesPass) {
  EXPECT_EQ(panic_of({.name = "a", .secure = true, .same_site = SameSite::none}), "");
  EXPECT_EQ(panic_of({.name = "__Secure-a", .domain = "h", .secure = true}), "");
  EXPECT_EQ(panic_of({.name = "__Host-a", .path = "/", .secure = true}), "");
  EXPECT_EQ(panic_of({.name = "__Hostess"}), "");
}

TEST(CookieFormat, WhatIsWrittenIsReadBack) {
  const std::string text = format_cookie({.name = "a!#$%&'*+-.^_`|~b", .value = "x=y!#/()<>@:?{}"});
  CookieReader cookies(text);
  const auto c = cookies.next();
  ASSERT_TRUE(c.has_value());
  EXPECT_EQ(c->name, "a!#$%&'*+-.^_`|~b");
  EXPECT_EQ(c->value, "x=y!#/()<>@:?{}");
}
