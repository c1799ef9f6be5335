// pure
#include "tls_names.h"

#include <gtest/gtest.h>

#include "support/tls_fixture.h"
#include "tls_config.h"

namespace treadle::net::tls {
namespace {

using namespace std::string_literals;
using test::issue;

TEST(TlsNames, AreLoweredAndChecked) {
  EXPECT_EQ(normal_name("A.Example"), "a.example");
  EXPECT_EQ(normal_name("a.example."), "a.example");
  EXPECT_EQ(normal_name("x-1_y.example"), "x-1_y.example");
  for (const std::string& bad : {""s, "."s, ".a"s, "a b"s, "a\0b"s, "a/b"s, "[::1]"s, "a:1"s,
                                 "*.a"s, "b\xc3\xbc"s, std::string(254, 'a')})
    EXPECT_EQ(normal_name(bad), "") << bad;
  EXPECT_EQ(normal_name(std::string(253, 'a')).size(), 253u);
}

TEST(TlsNames, ParentIsWhatAWildcardStandsBefore) {
  EXPECT_EQ(parent_name("a.b.c"), "b.c");
  EXPECT_EQ(parent_name("localhost"), "");
  EXPECT_EQ(parent_name(""), "");
}

TEST(TlsNames, OfCertificates) {
  const auto names = [](const test::CertificateOptions& options) {
    return certificate_names(issue(options).certificate.get());
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(names({.names = {"A.Example", "*.B.example", "a.example"}, .common_name = "cn"}),
            (Names{"a.example", "*.b.example"}));
  EXPECT_EQ(names({.common_name = "Only.Example"}), Names{"only.example"});
  EXPECT_EQ(names({.common_name = "*.only.example"}), Names{"*.only.example"});
  EXPECT_EQ(names({.common_name = "Some Body"}), Names{});
  EXPECT_EQ(names({}), Names{});
  EXPECT_EQ(names({.names = {"*", "*x.example", "a.*.example", "*.*.example"}}), Names{});
}

TEST(TlsNames, InExtensions) {
  EXPECT_EQ(name_in_extension("\0\x0c\0\0\x09"s + "A.Example"), "a.example");
  EXPECT_EQ(name_in_extension(""), "");
  EXPECT_EQ(name_in_extension("\0\x0c\0\0"s), "");
  EXPECT_EQ(name_in_extension("\0\x0c\1\0\x09"s + "a.example"), "") << "no host name";
  EXPECT_EQ(name_in_extension("\0\x0c\0\0\x0a"s + "a.example"), "") << "longer than there is";
  EXPECT_EQ(name_in_extension("\0\x0c\0\0\x03"s + "a\0b"s), "");
}

TEST(TlsNames, AlpnIsChosenInOurOrder) {
  const std::vector<std::string> ours = {"h2", "http/1.1"};
  EXPECT_EQ(choose_alpn(ours, "\x08http/1.1\x02h2"), "h2");
  EXPECT_EQ(choose_alpn(ours, "\x08http/1.1"), "http/1.1");
  EXPECT_EQ(choose_alpn(ours, "\x02h3\x08http/1.0"), "");
  EXPECT_EQ(choose_alpn(ours, ""), "");
  EXPECT_EQ(choose_alpn(ours, "\x09h2"), "") << "shorter than it says";
  EXPECT_EQ(choose_alpn({}, "\x02h2"), "");
}

}  // namespace
}  // namespace treadle::net::tls
