// pure
#include "media_type.h"

#include <gtest/gtest.h>

#include <string>

using namespace treadle::http;

namespace {

// "name=value|" of each parameter, "bad" where one is malformed.
std::string parameters_of(std::string_view parameters) {
  ParameterReader reader(parameters);
  std::string all;
  for (;;) {
    switch (reader.next()) {
      case ParameterReader::Step::end: return all;
      case ParameterReader::Step::bad: return all + "bad";
      case ParameterReader::Step::parameter:
        all.append(reader.name()).append("=").append(reader.value()).append("|");
    }
  }
}

}  // namespace

TEST(MediaType, TypeAndSubtypeAreTakenApart) {
  const auto t = parse_media_type(" Text/HTML ; charset=utf-8");
  ASSERT_TRUE(t.has_value());
  EXPECT_TRUE(t->is("text", "html"));
  EXPECT_FALSE(t->is("text", "plain"));
  EXPECT_EQ(t->parameters, "; charset=utf-8");
  EXPECT_EQ(parse_media_type("a/b")->parameters, "");
  for (const char* bad : {"", "text", "text/", "/html", "text/html x", "te xt/html", "a/b/c", ";",
                          "text html/a", "text/html, text/plain"})
    EXPECT_FALSE(parse_media_type(bad).has_value()) << bad;
}

TEST(MediaTypeParameters, TokensAndQuotedStringsAreRead) {
  EXPECT_EQ(parameters_of(""), "");
  EXPECT_EQ(parameters_of("; a=b"), "a=b|");
  EXPECT_EQ(parameters_of(" ;a=b;; c = \"d e\" ; "), "a=b|c=d e|");
  EXPECT_EQ(parameters_of("; a=\"\""), "a=|");
  EXPECT_EQ(parameters_of(R"(; a="x\"y\\z;")"), R"(a=x"y\z;|)");
}

TEST(MediaTypeParameters, WhatClientsReallySendIsRead) {
  EXPECT_EQ(parameters_of("; boundary=----=_Part_1_2.3"), "boundary=----=_Part_1_2.3|");
  EXPECT_EQ(parameters_of("; boundary=a/b?c; x=y"), "boundary=a/b?c|x=y|");
  EXPECT_EQ(parameters_of(R"(; filename="C:\dir\new.txt")"), R"(filename=C:\dir\new.txt|)");
  EXPECT_EQ(parameters_of(R"(; filename="\\host\a")"), R"(filename=\host\a|)");
  EXPECT_EQ(parameters_of("; filename=\"\xc3\xa9%22\""), "filename=\xc3\xa9%22|");
}

TEST(MediaTypeParameters, MalformedOnesAreBad) {
  for (const char* bad : {"a=b", "; a", "; =b", "; a=", "; a=\"b", "; a=\"b\\\"", "; a b=c",
                          "; a=b c", "; a=b\"c\"", "; a=\"b\"c", "; a=;b=c"})
    EXPECT_NE(parameters_of(bad).find("bad"), std::string::npos)
        << bad << ": " << parameters_of(bad);
}
