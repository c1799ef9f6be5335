// The access log: one line per answer, whatever clients put into it.
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "http_fixture.h"

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
  const std::vector<std::string> lines = log.lines();
  ASSERT_EQ(lines.size(), 4U);
  const std::regex form(
      R"re(127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "(.*)" (\d{3}) (\d+) "(.*)" "(.*)" \d+\.\d{6})re");
  const auto expect = [&](const std::string& line, std::vector<std::string> parts) {
    std::smatch m;
    ASSERT_TRUE(std::regex_match(line, m, form)) << line;
    for (std::size_t i = 0; i < parts.size(); ++i) EXPECT_EQ(m[i + 1].str(), parts[i]) << line;
  };
  expect(lines[0], {"GET /a?b=c HTTP/1.1", "200", "5", "http://x/", "tester/1"});
  expect(lines[1], {"GET /created HTTP/1.1", "201", "5", "-", "-"});
  expect(lines[2], {"GET / HTTP/1.0", "200", "5", "-", "-"});
  std::smatch refused;
  ASSERT_TRUE(std::regex_match(lines[3], refused, form)) << lines[3];
  EXPECT_EQ(refused[1].str(), "-");
}

TEST(AccessLog, ClientsCannotForgeLinesOrDriveTerminals) {
  LogFile log;
  run([&] {
    RunningServer server(http::Handler{answer}, {.access_log = log.path()});
    fetch(server.port(), get("/", "User-Agent: a\"b\\c\td\xff\r\nReferer: \xe2\x80\xae\r\n"));
    fetch(server.port(), get("/", "User-Agent: " + std::string(10'000, 'u') + "\r\n"));
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

TEST(AccessLog, FileThatCannotBeOpenedFailsListen) {
  run([] {
    http::Server server({.address = "127.0.0.1:0", .access_log = "/proc/no/such/file"},
                        http::Handler{answer});
    EXPECT_FALSE(server.listen());
  });
}

}  // namespace
}  // namespace treadle::test
