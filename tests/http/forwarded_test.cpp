// pure
#include "forwarded.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

using namespace treadle::http;
using treadle::net::SocketAddress;

namespace {

SocketAddress endpoint(const std::string& text) { return SocketAddress::parse(text).value(); }
TrustedProxies trust(const std::vector<std::string>& entries) {
  auto trusted = TrustedProxies::parse(entries);
  EXPECT_TRUE(trusted) << trusted.error();
  return std::move(*trusted);
}
std::string refused(const std::string& entry) {
  const auto trusted = TrustedProxies::parse({"10.0.0.0/8", entry, "::1"});
  return trusted ? "taken" : trusted.error();
}

using Fields = std::vector<HeaderField>;
const std::string kProxy = "10.0.0.1:5000";

Forwarded evaluate(const std::string& peer, const Fields& fields) {
  static const TrustedProxies trusted = trust({"10.0.0.0/8", "2001:db8::/32", "unix"});
  return evaluate_forwarded(trusted, endpoint(peer), Scheme::http, HeaderView(fields));
}
std::string client(const Fields& fields) { return evaluate(kProxy, fields).client.to_string(); }
std::string client(std::string_view list) { return client(Fields{{"X-Forwarded-For", list}}); }
bool https(const Fields& fields) { return evaluate(kProxy, fields).scheme == Scheme::https; }

}  // namespace

TEST(Forwarded, NetworksHoldWhatTheySay) {
  const TrustedProxies t =
      trust({"10.0.0.0/8", "192.0.2.7", "172.16.0.0/12", "2001:db8::/33", "::1", "0.0.0.1/32"});
  for (const char* in : {"10.0.0.0:1", "10.255.255.255:1", "192.0.2.7:1", "172.31.255.255:1",
                         "[2001:db8:7fff::1]:1", "[::1]:1", "0.0.0.1:9", "[::ffff:10.1.1.1]:1"})
    EXPECT_TRUE(t.contains(endpoint(in))) << in;
  for (const char* out :
       {"11.0.0.0:1", "9.255.255.255:1", "192.0.2.8:1", "172.32.0.0:1", "172.15.255.255:1",
        "[2001:db8:8000::1]:1", "[::2]:1", "0.0.0.0:1", "unix:/x", "[a00::]:1"})
    EXPECT_FALSE(t.contains(endpoint(out))) << out;
  EXPECT_FALSE(t.contains({}));
}

TEST(Forwarded, FamiliesStayApart) {
  EXPECT_FALSE(trust({"::/0"}).contains(endpoint("1.2.3.4:1")));
  EXPECT_TRUE(trust({"::/0"}).contains(endpoint("[::1]:1")));
  EXPECT_FALSE(trust({"0.0.0.0/0"}).contains(endpoint("[::1]:1")));
  EXPECT_TRUE(trust({"0.0.0.0/0"}).contains(endpoint("1.2.3.4:1")));
  EXPECT_TRUE(trust({"::ffff:10.0.0.0/104"}).contains(endpoint("10.9.9.9:1")));
  EXPECT_TRUE(trust({"::ffff:10.0.0.1"}).contains(endpoint("10.0.0.1:1")));
  EXPECT_TRUE(trust({"unix"}).contains(endpoint("unix:/x")));
  EXPECT_FALSE(trust({"unix"}).contains(endpoint("[::1]:1")));
}

TEST(Forwarded, NobodyIsTrustedUnlessSaid) {
  EXPECT_TRUE(TrustedProxies().empty());
  EXPECT_TRUE(trust({}).empty());
  EXPECT_FALSE(trust({}).contains(endpoint("127.0.0.1:1")));
  EXPECT_FALSE(trust({"unix"}).empty());
  EXPECT_FALSE(trust({"::1"}).empty());
}

TEST(Forwarded, BadEntriesAreNamed) {
  EXPECT_EQ(refused("10.0.0.1/8"),
            "trusted_proxies: \"10.0.0.1/8\" has bits set beyond its prefix");
  EXPECT_EQ(refused("2001:db8::1/64"),
            "trusted_proxies: \"2001:db8::1/64\" has bits set beyond its prefix");
  for (const char* entry : {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8",
                            "10.0.0.0/8/8", "10.0.0.0/255.0.0.0", "::/129", "::ffff:10.0.0.0/8"})
    EXPECT_EQ(refused(entry),
              "trusted_proxies: \"" + std::string(entry) + "\" has a prefix length out of range");
  for (const char* entry : {"", "all", "*", "Unix", "10.0.0", "10.0.0.0:80", "[::1]", "localhost",
                            "fe80::1%eth0", " ::1", "/8"})
    EXPECT_EQ(refused(entry), "trusted_proxies: \"" + std::string(entry) +
                                  "\" is neither an address, a network (10.0.0.0/8) nor \"unix\"");
}

TEST(Forwarded, StrangersAreNotBelieved) {
  const Fields fields = {{"X-Forwarded-For", "1.1.1.1"}, {"X-Forwarded-Proto", "https"}};
  for (const char* peer : {"192.0.2.1:7", "[::1]:7"}) {
    const Forwarded f = evaluate(peer, fields);
    EXPECT_EQ(f.client, endpoint(peer));
    EXPECT_EQ(f.scheme, Scheme::http);
    EXPECT_FALSE(f.trusted);
  }
}

TEST(Forwarded, TrustedPeersAre) {
  const Fields fields = {{"x-forwarded-for", "1.1.1.1"}, {"x-forwarded-proto", "https"}};
  for (const char* peer : {"10.0.0.1:7", "[2001:db8::1]:7", "unix:/x"}) {
    const Forwarded f = evaluate(peer, fields);
    EXPECT_EQ(f.client.host(), "1.1.1.1");
    EXPECT_EQ(f.scheme, Scheme::https);
    EXPECT_TRUE(f.trusted);
  }
  EXPECT_EQ(client(Fields{}), kProxy);
}

TEST(Forwarded, ListIsWalkedFromItsEndPastTrustedHops) {
  EXPECT_EQ(client("1.1.1.1, 2.2.2.2"), "2.2.2.2:0");
  EXPECT_EQ(client("1.1.1.1, 2.2.2.2, 10.0.0.9"), "2.2.2.2:0");
  EXPECT_EQ(client("1.1.1.1,\t2001:db8::1 ,10.0.0.9"), "1.1.1.1:0");
  EXPECT_EQ(client("10.0.0.8, 10.0.0.9"), "10.0.0.8:0");  // none but proxies: the first
  EXPECT_EQ(client("10.0.0.8, 1.1.1.1, 10.0.0.9"), "1.1.1.1:0");
  // Several fields are one list.
  EXPECT_EQ(client(Fields{{"X-Forwarded-For", "1.1.1.1"}, {"X-Forwarded-For", "2.2.2.2"}}),
            "2.2.2.2:0");
  EXPECT_EQ(client(Fields{{"X-Forwarded-For", "1.1.1.1, 2.2.2.2"},
                          {"Other", "3.3.3.3"},
                          {"X-Forwarded-For", "10.0.0.9"}}),
            "2.2.2.2:0");
}

TEST(Forwarded, EntriesMayHavePorts) {
  EXPECT_EQ(client("1.1.1.1:80"), "1.1.1.1:80");
  EXPECT_EQ(client("::1"), "[::1]:0");
  EXPECT_EQ(client("[::1]"), "[::1]:0");
  EXPECT_EQ(client("[::1]:80"), "[::1]:80");
  EXPECT_EQ(client("::ffff:1.1.1.1"), "1.1.1.1:0");
}

TEST(Forwarded, MalformedEntriesStopTheWalk) {
  for (const char* bad :
       {"unknown", "_hidden", "", "1.1.1", "1.1.1.1:", "1.1.1.1:x", "1.1.1.1:65536", "[::1",
        "[::1]x", "[::1]:", "[1.1.1.1]", "::1]", "for=1.1.1.1", "\"1.1.1.1\"", "1.1.1.1;2.2.2.2",
        "1.1.1.1 2.2.2.2", "fe80::1%1", "999.1.1.1", "01.1.1.1"}) {
    EXPECT_EQ(client(bad), kProxy) << bad;
    EXPECT_EQ(client("1.1.1.1, " + std::string(bad)), kProxy) << bad;
    EXPECT_EQ(client("1.1.1.1, " + std::string(bad) + ", 10.0.0.9"), "10.0.0.9:0") << bad;
    EXPECT_EQ(client(std::string(bad) + ", 2.2.2.2"), "2.2.2.2:0") << bad;
  }
}

TEST(Forwarded, SchemeIsTheNearestProxys) {
  EXPECT_TRUE(https({{"X-Forwarded-Proto", "HTTPS"}}));
  EXPECT_FALSE(https({{"X-Forwarded-Proto", "http"}}));
  EXPECT_FALSE(https({{"X-Forwarded-Proto", "https, http"}}));
  EXPECT_FALSE(https({{"X-Forwarded-Proto", "https"}, {"X-Forwarded-Proto", "http"}}));
  EXPECT_FALSE(https({{"X-Forwarded-Proto", "https"}, {"X-Forwarded-Proto", "nonsense"}}));
  EXPECT_FALSE(https({{"X-Forwarded-Proto", "httpss"}}));
  EXPECT_FALSE(https({}));
  const TrustedProxies trusted = trust({"10.0.0.0/8"});
  const Fields fields = {{"X-Forwarded-Proto", "http"}};
  EXPECT_EQ(evaluate_forwarded(trusted, endpoint(kProxy), Scheme::https, HeaderView(fields)).scheme,
            Scheme::http);
  EXPECT_EQ(evaluate_forwarded(trusted, endpoint(kProxy), Scheme::https, {}).scheme, Scheme::https);
}
