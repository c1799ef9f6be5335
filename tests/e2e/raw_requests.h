// Tables of raw bytes: what is sent, and all that may come back.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "http_fixture.h"

namespace treadle::test {

// What becomes of the connection behind an answer.
enum class Fate : std::uint8_t {
  kept,    // it answers the next request
  closed,  // it ends with FIN, and nothing else comes
};

struct RawCase {
  std::string bytes;
  int status = 400;
  Fate fate = Fate::closed;
  std::string body{};     // of the answer; not looked at when empty
  bool then_fin = false;  // the client ends its side behind the bytes
  bool hush = false;      // nothing is sent behind the bytes even though it closes
};

// Bytes as a C string literal would show them, for messages.
inline std::string shown(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const char c : bytes.substr(0, 400)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\r') {
      out += "\\r";
    } else if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte >= 0x7f) {
      out.append("\\x").append(1, kDigits[byte >> 4]).append(1, kDigits[byte & 15]);
    } else {
      out += c;
    }
  }
  return bytes.size() > 400 ? out + "..." : out;
}

// "METHOD path?query host=... [trailers] body", for the tests to compare; a body that fails is left
// for the server to answer.
inline void describe_request(http::Response& res, const http::Request& req) {
  auto body = req.body().read_all();
  if (!body) return;
  res.print("{} {}", req.method(), req.raw_path());
  if (!req.raw_query().empty()) res.print("?{}", req.raw_query());
  res.print(" host={}", req.host());
  for (const auto& [name, value] : req.body().trailers()) res.print(" [{}={}]", name, value);
  res.print(" {}", *body);
}

// Runs cases against one server, each on a connection of its own and sent in several ways: whole,
// byte by byte, and in two pieces at some of the boundaries (the parser's own tests take all of
// them). Whatever the way, exactly the same must come back.
class RawTable {
 public:
  explicit RawTable(const RunningServer& server) : port_(server.port()) {}

  // Of cases in which nothing depends on where they are cut.
  RawTable& whole_only() {
    whole_only_ = true;
    return *this;
  }

  void run(const std::vector<RawCase>& cases) const {
    for (const RawCase& c : cases) run(c);
  }
  void run(const RawCase& c) const {
    if (!attempt(c, {}) || whole_only_) return;
    std::vector<std::size_t> positions;
    if (c.bytes.size() <= 1024) {
      for (std::size_t i = 1; i < c.bytes.size(); ++i) positions.push_back(i);
      if (!attempt(c, positions)) return;
    }
    const std::size_t step = 1 + c.bytes.size() / most_cuts();
    for (std::size_t at = 1 + c.bytes.size() % step; at < c.bytes.size(); at += step)
      if (!attempt(c, {at})) return;
  }

 private:
  // Behind what is refused stands a request that must never be answered.
  static constexpr std::string_view kSmuggled = "GET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n";

  // Under a sanitizer, where patience is longer, a connection costs some milliseconds.
  static std::size_t most_cuts() { return patience() > 30s ? 4 : 32; }

  bool attempt(const RawCase& c, const std::vector<std::size_t>& positions) const {
    const int before = failures();
    RawClient client(port_);
    std::string bytes = c.bytes;
    if (c.fate == Fate::closed && !c.then_fin && !c.hush) bytes += kSmuggled;
    send_pieces(client, bytes, positions);
    if (c.then_fin) client.shutdown_write();
    const auto kind =
        c.bytes.starts_with("HEAD ") ? RawClient::Request::head : RawClient::Request::other;
    const RawResponse r = client.read_response(kind);
    // No SCOPED_TRACE: it belongs to the thread, and waiting moves us to another.
    std::string sent = shown(c.bytes);
    if (!positions.empty()) {
      sent += "\nin " + std::to_string(positions.size() + 1) + " pieces, the first of " +
              std::to_string(positions.front());
    }
    EXPECT_EQ(r.status, c.status) << sent << '\n' << r.raw;
    EXPECT_EQ(r.version, "HTTP/1.1") << sent;
    EXPECT_EQ(r.body, c.body.empty() ? r.body : c.body) << sent;
    if (c.fate == Fate::closed) {
      EXPECT_EQ(r.header("Connection"), "close") << sent << '\n' << r.raw;
      EXPECT_EQ(client.read_until_close(), "") << sent;
    } else {
      EXPECT_NE(r.header("Connection"), "close") << sent << '\n' << r.raw;
      EXPECT_EQ(client.roundtrip(get("/next")).body, "GET /next host=localhost ") << sent;
    }
    return failures() == before;
  }

  // Each piece by itself, as long as there is no answer. From then on, and behind the last piece,
  // acknowledgements may be late, having nothing to travel with: they are not waited for.
  static void send_pieces(RawClient& client, std::string_view bytes,
                          const std::vector<std::size_t>& positions) {
    std::size_t begin = 0;
    for (const std::size_t at : positions) {
      if (!client.silent_for(0ms)) break;
      if (!client.send_split(bytes.substr(begin, at - begin), {})) return;
      begin = at;
    }
    client.send(bytes.substr(begin));
  }

  static int failures() {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    return info == nullptr ? 0 : info->result()->total_part_count();
  }

  std::uint16_t port_;
  bool whole_only_ = false;
};

// Cases that differ in one piece only, all with the same fate.
template <class Make>
std::vector<RawCase> each(std::initializer_list<std::string_view> pieces, int status, Make make,
                          Fate fate = Fate::closed) {
  std::vector<RawCase> cases;
  for (const std::string_view piece : pieces)
    cases.push_back({.bytes = make(std::string(piece)), .status = status, .fate = fate});
  return cases;
}

}  // namespace treadle::test
