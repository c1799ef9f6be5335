// pure: a scripted connection, no goroutines.
#include "transport.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>

#include <treadle/net/file.h>

#include "support/stub_conn.h"

namespace treadle::http::detail {
namespace {

using namespace std::chrono_literals;

// Answers writes as it was told to, and keeps what it was given.
class ScriptedConn final : public test::InertConn {
 public:
  struct Step {
    std::size_t takes;
    std::error_code error;
  };
  std::deque<Step> steps;
  std::string written;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> sent;  // offset and count asked for
  std::vector<Deadline> write_deadlines;
  std::vector<Deadline> read_deadlines;

  Result<std::size_t> read(std::span<std::byte>) override { return 0; }
  net::WriteResult write_all(std::span<const iovec> parts) override {
    const Step step = next();
    std::size_t left = step.takes;
    for (const iovec& part : parts) {
      const std::size_t n = std::min(left, part.iov_len);
      written.append(static_cast<const char*>(part.iov_base), n);
      left -= n;
    }
    return {step.takes - left, step.error};
  }
  net::WriteResult send_file(const net::File&, std::uint64_t offset, std::uint64_t count) override {
    sent.emplace_back(offset, count);
    const Step step = next();
    return {step.takes, step.error};
  }
  void set_read_deadline(Deadline d) override { read_deadlines.push_back(d); }
  void set_write_deadline(Deadline d) override { write_deadlines.push_back(d); }

 private:
  Step next() {
    if (steps.empty()) return {1000, {}};
    const Step step = steps.front();
    steps.pop_front();
    return step;
  }
};

const std::error_code kTimedOut = make_error_code(treadle::Errc::timed_out);

std::vector<iovec> parts_of(std::initializer_list<std::string_view> texts) {
  std::vector<iovec> parts;
  for (std::string_view t : texts) parts.push_back({const_cast<char*>(t.data()), t.size()});
  return parts;
}

TEST(Transport, SlowPeerGetsMoreTimeAsLongAsBytesMove) {
  ScriptedConn conn;
  conn.steps = {{1, kTimedOut}, {4, kTimedOut}, {3, kTimedOut}, {100, {}}};
  const PeerLimits limits{.read_timeout = 1s, .write_timeout = 1s};
  Transport transport(conn, limits);
  auto parts = parts_of({"abc", "", "defgh", "ij"});
  const net::WriteResult r = transport.write(parts);
  EXPECT_TRUE(r);
  EXPECT_EQ(r.written, 10U);
  EXPECT_EQ(conn.written, "abcdefghij");
  EXPECT_EQ(conn.write_deadlines.size(), 4U);
}

TEST(Transport, StuckPeerTimesOut) {
  ScriptedConn conn;
  conn.steps.assign(100, {0, kTimedOut});
  conn.steps.front().takes = 2;
  const PeerLimits limits{.read_timeout = 1s, .write_timeout = 1s};
  Transport transport(conn, limits);
  auto parts = parts_of({"abc"});
  const net::WriteResult r = transport.write(parts);
  EXPECT_EQ(r.error, kTimedOut);
  EXPECT_EQ(r.written, 2U);
}

TEST(Transport, TimeoutBeginsWithTheLastByteTaken) {
  ScriptedConn conn;
  conn.steps.assign(100, {0, kTimedOut});
  conn.steps.front().takes = 2;
  const PeerLimits limits{.read_timeout = 1s, .write_timeout = 1s};
  Transport transport(conn, limits);
  auto parts = parts_of({"abc"});
  const TimePoint before = Clock::now();
  EXPECT_FALSE(transport.write(parts));
  const TimePoint after = Clock::now();
  // How much went is asked often enough to know when within a tenth.
  EXPECT_LE(conn.write_deadlines.at(0).at(), after + 100ms);
  for (std::size_t i = 2; i < conn.write_deadlines.size(); ++i)
    EXPECT_LE(conn.write_deadlines[i].at() - conn.write_deadlines[i - 1].at(), 100ms);
  EXPECT_GE(conn.write_deadlines.back().at(), before + 1s);
  EXPECT_LE(conn.write_deadlines.back().at(), after + 1s);
}

TEST(Transport, OtherErrorsAreNotRetried) {
  ScriptedConn conn;
  const std::error_code reset(ECONNRESET, std::system_category());
  conn.steps = {{2, reset}};
  const PeerLimits limits{.read_timeout = 1s, .write_timeout = 1s};
  Transport transport(conn, limits);
  auto parts = parts_of({"abc"});
  const net::WriteResult r = transport.write(parts);
  EXPECT_EQ(r.error, reset);
  EXPECT_EQ(r.written, 2U);
}

TEST(Transport, FileGoesOnWhereItStopped) {
  ScriptedConn conn;
  conn.steps = {{10, kTimedOut}, {20, kTimedOut}, {70, {}}};
  const PeerLimits limits{.read_timeout = 1s, .write_timeout = 1s};
  Transport transport(conn, limits);
  const net::WriteResult r = transport.send_file(net::File(), 5, 100);
  EXPECT_TRUE(r);
  EXPECT_EQ(r.written, 100U);
  const std::vector<std::pair<std::uint64_t, std::uint64_t>> expected = {
      {5, 100}, {15, 90}, {35, 70}};
  EXPECT_EQ(conn.sent, expected);
}

TEST(Transport, ZeroMeansNoLimitAndHugeMeansNone) {
  ScriptedConn conn;
  const PeerLimits limits{.read_timeout = 0s, .write_timeout = Duration::max()};
  Transport transport(conn, limits);
  auto parts = parts_of({"abc"});
  EXPECT_TRUE(transport.write(parts));
  EXPECT_TRUE(transport.read({}));
  EXPECT_TRUE(conn.write_deadlines.at(0).is_never());
  EXPECT_TRUE(conn.read_deadlines.at(0).is_never());
}

// The least pace: 100 B/s on average, counted once 5 s were waited for.
constexpr PeerLimits kPaced{.min_rate = 100, .min_rate_after = 5s};

TEST(Transport, PaceAllowsTheFirstSecondsAndThenWhatWasMoved) {
  Pace pace;
  EXPECT_EQ(pace.allowance(kPaced), 5s);
  pace.count(100, 3s);
  EXPECT_EQ(pace.allowance(kPaced), 2s);
  pace.count(500, 0s);  // 600 bytes: good for 6 s in all
  EXPECT_EQ(pace.allowance(kPaced), 3s);
  pace.count(0, 3s);
  EXPECT_EQ(pace.allowance(kPaced), 0s);
  pace.begin();
  EXPECT_EQ(pace.allowance(kPaced), 5s);
}

TEST(Transport, PaceOfZeroIsNoLimit) {
  Pace pace;
  pace.count(0, 1h);
  EXPECT_EQ(pace.allowance({}), Duration::max());
}

TEST(Transport, PeerBelowThePaceTimesOutThoughBytesMove) {
  ScriptedConn conn;
  conn.steps.assign(100, {1, kTimedOut});
  const PeerLimits limits{.write_timeout = 30s, .min_rate = 1'000'000, .min_rate_after = 0s};
  Transport transport(conn, limits);
  auto parts = parts_of({"abc"});
  const net::WriteResult r = transport.write(parts);
  EXPECT_EQ(r.error, kTimedOut);
  EXPECT_LT(r.written, 3U);
}

TEST(Transport, DeadlineIsThatFarAhead) {
  const Duration left = deadline_after(10s).remaining();
  EXPECT_LE(left, 10s);
  EXPECT_GT(left, 9s);
}

}  // namespace
}  // namespace treadle::http::detail
