// pure
#include "access_log_line.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <regex>
#include <string>

using namespace treadle::http::detail;
using namespace std::chrono_literals;
using treadle::net::SocketAddress;

namespace {

const SocketAddress kPeer = SocketAddress::parse("10.0.0.1:5000").value();
const SocketAddress kClient = SocketAddress::parse("[2001:db8::7]:0").value();

AccessRecord full() {
  return {.peer = kPeer,
          .client = &kClient,
          .method = "GET",
          .target = "/a?b=c",
          .minor_version = 1,
          .host = "localhost:8080",
          .status = 200,
          .bytes = 12,
          .referer = "http://x/",
          .user_agent = "curl/8 (x)",
          .request_id = "4f1c",
          .tls_version = "TLSv1.3",
          .tls_cipher = "TLS_AES_128_GCM_SHA256",
          .took = 123us,
          .handler_time = 45us};
}

// The line, with its time replaced, and without its newline.
std::string combined(const AccessRecord& r) {
  LogLine line;
  append_combined(line, r);
  std::string text(line.data(), line.size());
  EXPECT_TRUE(text.ends_with('\n'));
  EXPECT_EQ(std::ranges::count(text, '\n'), 1);
  text.pop_back();
  static const std::regex time(R"(\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\])");
  return std::regex_replace(text, time, "[time]");
}

std::string json_text(const AccessRecord& r) {
  LogLine line;
  append_json(line, r);
  std::string text(line.data(), line.size());
  EXPECT_TRUE(text.ends_with("}\n"));
  EXPECT_EQ(std::ranges::count(text, '\n'), 1);
  return text;
}

nlohmann::json json(const AccessRecord& r) {
  nlohmann::json object = nlohmann::json::parse(json_text(r));
  static const std::regex time(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)");
  EXPECT_TRUE(std::regex_match(object.at("time").get<std::string>(), time)) << object;
  object.erase("time");
  return object;
}

}  // namespace

TEST(AccessLogLine, CombinedShowsAllThereIs) {
  EXPECT_EQ(combined(full()),
            "2001:db8::7 - - [time] \"GET /a?b=c HTTP/1.1\" 200 12 \"http://x/\" \"curl/8 (x)\" "
            "0.000123 0.000045 4f1c localhost:8080 TLSv1.3/TLS_AES_128_GCM_SHA256 10.0.0.1:5000");
}

TEST(AccessLogLine, CombinedHasADashForWhatIsAbsent) {
  EXPECT_EQ(combined({.peer = kPeer, .status = 400}),
            "10.0.0.1 - - [time] \"-\" 400 0 \"-\" \"-\" 0.000000 0.000000 - - - -");
  EXPECT_EQ(combined({.peer = kPeer, .client = &kPeer, .status = 400, .tls_version = "TLSv1.2"}),
            "10.0.0.1 - - [time] \"-\" 400 0 \"-\" \"-\" 0.000000 0.000000 - - TLSv1.2 -");
}

TEST(AccessLogLine, JsonShowsAllThereIs) {
  constexpr const char* kEveryField = R"json({
    "client": "2001:db8::7", "peer": "10.0.0.1:5000", "method": "GET", "target": "/a?b=c",
    "protocol": "HTTP/1.1", "host": "localhost:8080", "status": 200, "bytes": 12,
    "referer": "http://x/", "user_agent": "curl/8 (x)", "request_id": "4f1c",
    "tls_version": "TLSv1.3", "tls_cipher": "TLS_AES_128_GCM_SHA256",
    "duration": 0.000123, "handler": 0.000045})json";
  EXPECT_EQ(json(full()), nlohmann::json::parse(kEveryField));
}

TEST(AccessLogLine, JsonLeavesOutWhatIsAbsent) {
  constexpr const char* kLeast =
      R"({"client": "10.0.0.1", "status": 400, "bytes": 0, "duration": 0.0, "handler": 0.0})";
  EXPECT_EQ(json({.peer = kPeer, .minor_version = 0, .status = 400}),
            nlohmann::json::parse(kLeast));
}

TEST(AccessLogLine, SecretsBeforeAHostAreCutEverywhere) {
  AccessRecord r = full();
  r.target = "http://me:secret@h/";
  r.referer = "http://me:secret@h/";
  r.host = "me:secret@h";
  EXPECT_EQ(combined(r).find("secret"), std::string::npos) << combined(r);
  EXPECT_EQ(json_text(r).find("secret"), std::string::npos) << json_text(r);
  EXPECT_EQ(json(r).at("host"), "h");
}

// Every byte in every field that clients fill: the line stays one line of so many fields, and the
// JSON is valid and gives the text back.
TEST(AccessLogLine, WhateverClientsSendTheLineKeepsItsForm) {
  for (int c = 0; c < 256; ++c) {
    const std::string text = std::string("x") + static_cast<char>(c) + "y";
    AccessRecord r = full();
    r.method = r.target = r.host = r.referer = r.user_agent = text;
    r.request_id = r.tls_version = r.tls_cipher = text;
    const std::string line = combined(r);
    EXPECT_EQ(std::ranges::count(line, '"'), 6) << line;
    const std::string tail = line.substr(line.rfind('"') + 2);
    EXPECT_EQ(std::ranges::count(tail, ' '), 5) << line;
    for (const char byte : line) EXPECT_TRUE(byte >= ' ' && byte <= '~') << line;

    for (const char byte : json_text(r)) EXPECT_TRUE((byte >= ' ' && byte <= '~') || byte == '\n');
    const nlohmann::json object = json(r);
    for (const char* name : {"method", "user_agent", "request_id", "tls_version", "tls_cipher"})
      EXPECT_EQ(object.at(name), c < 0x80 ? text : "x\ufffdy") << name;
  }
}

TEST(AccessLogLine, LongFieldsAreCut) {
  AccessRecord r = full();
  const std::string text(20'000, 'x');
  const std::string url = "http://u:p@" + text;
  r.method = r.target = r.host = r.user_agent = r.request_id = text;
  r.referer = url;
  EXPECT_LT(combined(r).size(), 6 * 2048U + 300);
  EXPECT_LT(json_text(r).size(), 6 * 2048U + 400);
  EXPECT_EQ(json(r).at("referer").get<std::string>().size(), 2048U);
}

TEST(AccessLogLine, UnixPeersAreValidJson) {
  const SocketAddress peer = SocketAddress::parse("unix:/run/\x01 \"\xff").value();
  EXPECT_EQ(json({.peer = peer, .client = &kClient}).at("peer"), "unix:/run/\x01 \"\ufffd");
  EXPECT_EQ(json({.peer = peer}).at("client"), "unix:/run/\x01 \"\ufffd");
}
