// The access log: one line per answer, whatever clients put into it.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "http_fixture.h"
#include "support/temporary_tree.h"

namespace treadle::test {
namespace {

class LogFile {
 public:
  LogFile() {
    path_ = testing::TempDir() + "treadle-XXXXXX";
    ::close(::mkstemp(path_.data()));
  }
  ~LogFile() { ::unlink(path_.c_str()); }
  const std::string& path() const { return path_; }
  std::vector<std::string> lines() const {
    std::ifstream in(path_);
    std::vector<std::string> all;
    for (std::string line; std::getline(in, line);) all.push_back(line);
    return all;
  }

 private:
  std::string path_;
};

// A line cut at its quotes, which stand in no field: request, status and bytes, referrer, a space,
// user agent. Checks what stands around them.
using Parts = std::vector<std::string>;
Parts parts_of(const std::string& line) {
  Parts parts(1);
  for (char c : line) {
    if (c == '"')
      parts.emplace_back();
    else
      parts.back().push_back(c);
  }
  EXPECT_EQ(parts.size(), 7U) << line;
  parts.resize(7);
  EXPECT_TRUE(parts[0].starts_with("127.0.0.1 - - [")) << line;
  EXPECT_TRUE(parts[0].ends_with(" +0000] ")) << line;
  EXPECT_EQ(parts[0].size(), std::string("127.0.0.1 - - [06/Nov/1994:08:49:37 +0000] ").size());
  // Both durations, request id, host, TLS, and the peer where it is not the client.
  std::istringstream tail(parts[6]);
  std::vector<std::string> words(std::istream_iterator<std::string>(tail), {});
  if (!words.empty() && words.back() == "cut") words.pop_back();
  EXPECT_EQ(words.size(), 6U) << line;
  words.resize(6);
  for (const std::size_t i : {0U, 1U})
    EXPECT_EQ(words[i].size() - words[i].find('.'), 7U) << line;  // six decimals
  EXPECT_EQ(words[5], "-") << line;
  parts.erase(parts.begin());
  parts.pop_back();
  return parts;
}

void answer(http::Response& res, const http::Request& req) {
  if (req.path() == "/created") res.status(201);
  res.print("hello");
}

TEST(AccessLog, EveryAnswerIsALine) {
  LogFile log;
  run([&] {
    RunningServer server(http::Handler{answer}, {.access_log = log.path()});
    RawClient client(server.port());
    client.roundtrip(get("/a?b=c", "User-Agent: tester/1\r\nReferer: http://x/\r\n"));
    client.roundtrip(get("/created"));
    client.roundtrip("GET / HTTP/1.0\r\n\r\n");
    fetch(server.port(), "NONSENSE\r\n\r\n");
  });
  // The server is gone, so everything has been written.
  std::vector<std::string> lines = log.lines();
  ASSERT_EQ(lines.size(), 4U);
  // A line is written after its answer: those of two connections may come in either order.
  if (parts_of(lines[2])[0] == "-") std::swap(lines[2], lines[3]);
  EXPECT_EQ(parts_of(lines[0]),
            (Parts{"GET /a?b=c HTTP/1.1", " 200 5 ", "http://x/", " ", "tester/1"}));
  EXPECT_EQ(parts_of(lines[1]), (Parts{"GET /created HTTP/1.1", " 201 5 ", "-", " ", "-"}));
  EXPECT_EQ(parts_of(lines[2]), (Parts{"GET / HTTP/1.0", " 200 5 ", "-", " ", "-"}));
  EXPECT_EQ(parts_of(lines[3])[0], "-");
  EXPECT_TRUE(parts_of(lines[3])[1].starts_with(" 400 ")) << lines[3];
}

TEST(AccessLog, ClientsCannotForgeLinesOrDriveTerminals) {
  LogFile log;
  run([&] {
    RunningServer server(http::Handler{answer}, {.access_log = log.path()});
    RawClient client(server.port());  // one connection's lines are in order
    client.roundtrip(get("/", "User-Agent: a\"b\\c\td\xff\r\nReferer: \xe2\x80\xae\r\n"));
    client.roundtrip(get("/", "User-Agent: " + std::string(10'000, 'u') + "\r\n"));
  });
  const std::vector<std::string> lines = log.lines();
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_NE(lines[0].find(R"("\xe2\x80\xae" "a\x22b\x5cc\x09d\xff")"), std::string::npos)
      << lines[0];
  EXPECT_LT(lines[1].size(), 2300U);
}

TEST(AccessLog, ManyLinesAreAllWrittenOrCounted) {
  LogFile log;
  std::uint64_t dropped = 0;
  constexpr int kRequests = 3000;
  run([&] {
    RunningServer server(http::Handler{answer}, {.access_log = log.path()});
    RawClient client(server.port());
    std::string all;
    for (int i = 0; i < kRequests; ++i) all += get("/" + std::to_string(i));
    treadle::go([&] { client.send(all); });
    for (int i = 0; i < kRequests; ++i) ASSERT_EQ(client.read_response().status, 200);
    dropped = server->stats().access_log_dropped;
  });
  EXPECT_EQ(log.lines().size() + dropped, static_cast<std::size_t>(kRequests));
}

std::string bytes_of(const std::string& line) {
  const std::string counts = parts_of(line)[1];  // " 200 5 "
  return counts.substr(5, counts.size() - 6);
}

TEST(AccessLog, OnlyBodyThatWasSentCounts) {
  LogFile log;
  constexpr std::size_t kLarge = 50'000'000;
  run([&] {
    Event cut;
    RunningServer server(http::Handler{[&](http::Response& res, const http::Request& req) {
                           if (req.path() == "/large") {
                             EXPECT_FALSE(res.write(std::string(kLarge, 'x')));
                             cut.set();
                             return;
                           }
                           res.print("hello");
                           if (req.path() == "/stream") res.flush();
                           res.print("world!");
                         }},
                         {.access_log = log.path()});
    RawClient client(server.port());
    client.roundtrip(head("/head"), RawClient::Request::head);
    EXPECT_TRUE(client.roundtrip(get("/stream")).chunked);
    RawClient leaving(server.port(), {.receive_buffer = 4096});
    ASSERT_TRUE(leaving.send(get("/large")));
    leaving.read_exactly(1000);
    leaving.reset();
    cut.wait();
  });
  const std::vector<std::string> lines = log.lines();
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(bytes_of(lines[0]), "0") << lines[0];
  EXPECT_EQ(bytes_of(lines[1]), "11") << lines[1];
  EXPECT_GT(std::stoul(bytes_of(lines[2])), 0U) << lines[2];
  EXPECT_LT(std::stoul(bytes_of(lines[2])), kLarge) << lines[2];
}

TEST(AccessLog, JsonLinesAreJson) {
  LogFile log;
  run([&] {
    RunningServer server(http::Handler{answer}, {.access_log = log.path(),
                                                 .access_log_format = http::AccessLogFormat::json});
    fetch(server.port(), get("/a?b", "User-Agent: a\"b\\c\td\xff\r\nReferer: http://u:p@x/\r\n"));
    fetch(server.port(), "NONSENSE\r\n\r\n");
  });
  std::vector<std::string> lines = log.lines();
  ASSERT_EQ(lines.size(), 2U);
  // A line follows its answer, so that the second connection's may stand before the first's.
  if (lines[0].find("/a?b") == std::string::npos) std::swap(lines[0], lines[1]);
  const nlohmann::json first = nlohmann::json::parse(lines[0]);
  EXPECT_EQ(first.at("client"), "127.0.0.1");
  EXPECT_EQ(first.at("target"), "/a?b");
  EXPECT_EQ(first.at("status"), 200);
  EXPECT_EQ(first.at("user_agent"), "a\"b\\c\td\ufffd");
  EXPECT_EQ(first.at("referer"), "http://x/");
  EXPECT_GE(first.at("duration").get<double>(), first.at("handler").get<double>());
  const nlohmann::json second = nlohmann::json::parse(lines[1]);
  EXPECT_EQ(second.at("status"), 400);
  EXPECT_FALSE(second.contains("target"));
}

TEST(AccessLog, SecretsAreNotLogged) {
  for (const auto format : {http::AccessLogFormat::combined, http::AccessLogFormat::json}) {
    LogFile log;
    run([&] {
      RunningServer server(http::Handler{answer},
                           {.access_log = log.path(), .access_log_format = format});
      fetch(server.port(), get("/",
                               "Authorization: Basic SECRET\r\nCookie: id=SECRET\r\n"
                               "Proxy-Authorization: SECRET\r\n"
                               "Referer: http://me:SECRET@h/\r\n"));
      fetch(server.port(), "GET http://me:SECRET@h/ HTTP/1.1\r\nHost: h\r\n\r\n");
      fetch(server.port(), "GET / HTTP/1.1\r\nHost: me:SECRET@h\r\n\r\n");
    });
    ASSERT_EQ(log.lines().size(), 3U);
    for (const std::string& line : log.lines())
      EXPECT_EQ(line.find("SECRET"), std::string::npos) << line;
  }
}

// The log's reader stalls: the pipe fills up, then the buffer, and every request is answered. Once
// it reads again it gets every line that was not counted as dropped, whole.
TEST(AccessLog, ReaderThatStallsHoldsNoRequestUp) {
  const TemporaryTree tree;
  const std::string fifo = tree.path("fifo");
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  std::uint64_t answered = 0;
  std::uint64_t dropped = 0;
  std::uint64_t lines = 0;
  std::thread reader;
  run([&] {
    RunningServer server(http::Handler{answer}, {.access_log = fifo});
    const std::string request = get("/" + std::string(2000, 'x'));
    RawClient client(server.port());
    // As many as it takes: 64 KB of pipe and a megabyte of buffer come first.
    while (server->stats().access_log_dropped == 0) {
      ASSERT_LT(answered, 100'000U);
      ASSERT_EQ(client.roundtrip(request).status, 200);
      ++answered;
    }
    reader = std::thread([&] {
      std::ifstream in(fifo);
      for (std::string line; std::getline(in, line); ++lines) {
        EXPECT_TRUE(line.starts_with("127.0.0.1 - - [")) << line;
        EXPECT_TRUE(line.ends_with(" - -")) << line;
      }
    });
    EXPECT_TRUE(server->shutdown());
    dropped = server->stats().access_log_dropped;
  });
  reader.join();
  EXPECT_GT(answered, 500U);
  EXPECT_EQ(lines + dropped, answered);
}

TEST(AccessLog, FullDiskStopsNoServer) {
  run([] {
    RunningServer server(http::Handler{answer}, {.access_log = "/dev/full"});
    RawClient client(server.port());
    while (server->stats().access_log_dropped == 0)
      ASSERT_EQ(client.roundtrip(get("/")).status, 200);
  });
}

TEST(AccessLog, FileThatCannotBeOpenedFailsListen) {
  run([] {
    http::Server server({.address = "127.0.0.1:0", .access_log = "/proc/no/such/file"},
                        http::Handler{answer});
    EXPECT_FALSE(server.listen());
  });
}

}  // namespace
}  // namespace treadle::test
