// Responses that are held, and who sends them.
#include "held_output.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/net/file.h>

#include "support/goroutine.h"
#include "support/stub_conn.h"
#include "transport.h"

namespace treadle::http::detail {
namespace {

using namespace std::chrono_literals;

// Keeps what each call wrote, up to `most` bytes in all; then the calls fail. May wait for the test
// in the middle of one.
class WritesConn final : public test::InertConn {
 public:
  std::vector<std::string> writes;
  std::size_t most = ~std::size_t{0};
  Chan<int> begun, go_on;  // nil: no waiting
  bool no_memory = false;  // writing throws, as encrypting may
  int reads = 0;

  Result<std::size_t> read(std::span<std::byte>) override {
    ++reads;
    return 0;
  }
  net::WriteResult write_all(std::span<const iovec> parts) override {
    if (no_memory) throw std::bad_alloc();
    if (begun) {
      begun.send(1);
      go_on.recv();
    }
    std::string all;
    for (const iovec& part : parts)
      all.append(static_cast<const char*>(part.iov_base), part.iov_len);
    if (all.size() <= most) {
      most -= all.size();
      writes.push_back(all);
      return {all.size(), {}};
    }
    const std::size_t n = most;
    writes.push_back(all.substr(0, n));
    most = 0;
    return {n, std::error_code(EPIPE, std::system_category())};
  }
};

struct Holding {
  WritesConn conn;
  PeerLimits limits;
  HeldRoom room;
  Transport transport{conn, limits};

  Holding() { transport.held().lend(&room); }
  static std::array<iovec, 2> parts(std::string_view text) {
    const std::size_t half = text.size() / 2;
    return {iovec{const_cast<char*>(text.data()), half},
            iovec{const_cast<char*>(text.data()) + half, text.size() - half}};
  }
  bool hold(std::string_view text) { return transport.hold(parts(text)); }
  net::WriteResult write(std::string_view text) {
    auto p = parts(text);
    return transport.write(p);
  }
};

using Texts = std::vector<std::string>;

// The room is nobody's afterwards: later writes fail at once, nothing waits, and the next one to be
// lent it finds nothing of this client's there.
TEST(HeldOutput, IsLostWhenSendingThrows) {
  Holding f;
  EXPECT_TRUE(f.hold("one"));
  f.conn.no_memory = true;
  EXPECT_THROW((void)f.write("two"), std::bad_alloc);
  EXPECT_EQ(f.room.size, 0U);
  EXPECT_EQ(f.transport.held().lost(), 1U);
  f.conn.no_memory = false;
  EXPECT_EQ(f.write("three").error, std::errc::not_enough_memory);
  EXPECT_FALSE(f.transport.flush());
  EXPECT_TRUE(f.conn.writes.empty());
}

TEST(HeldOutput, FlushThatFindsNoMemoryIsAnError) {
  Holding f;
  EXPECT_TRUE(f.hold("one"));
  f.conn.no_memory = true;
  const Result<void> sent = f.transport.flush();
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error(), std::errc::not_enough_memory);
  EXPECT_EQ(f.transport.held().lost(), 1U);
  EXPECT_EQ(f.write("two").error, std::errc::not_enough_memory);
}

TEST(HeldOutput, LeavesWithTheNextWriteInOnePiece) {
  Holding f;
  EXPECT_TRUE(f.hold("one"));
  EXPECT_TRUE(f.hold("two"));
  EXPECT_TRUE(f.conn.writes.empty());
  const net::WriteResult r = f.write("three");
  EXPECT_TRUE(r);
  EXPECT_EQ(r.written, 5U);
  EXPECT_TRUE(f.write("four"));
  EXPECT_EQ(f.conn.writes, (Texts{"onetwothree", "four"}));
}

TEST(HeldOutput, LeavesBeforeAnythingIsReadOrAFileIsSent) {
  Holding f;
  EXPECT_TRUE(f.hold("one"));
  std::array<std::byte, 4> into;
  EXPECT_TRUE(f.transport.read(into));
  EXPECT_EQ(f.conn.writes, (Texts{"one"}));
  EXPECT_EQ(f.conn.reads, 1);
  EXPECT_TRUE(f.hold("two"));
  EXPECT_TRUE(f.transport.send_file(net::File(), 0, 0));
  EXPECT_EQ(f.conn.writes, (Texts{"one", "two"}));
}

TEST(HeldOutput, IsBounded) {
  Holding f;
  const std::string most(HeldRoom::kMost - 1, 'm');
  EXPECT_FALSE(f.hold(std::string(HeldRoom::kMost + 1, 'x')));
  EXPECT_TRUE(f.transport.held().nothing());
  EXPECT_TRUE(f.hold(most));
  EXPECT_FALSE(f.hold("ab"));
  EXPECT_EQ(f.room.size, most.size());
  const net::WriteResult r = f.write("ab");
  EXPECT_EQ(r.written, 2U);
  EXPECT_EQ(f.conn.writes, (Texts{most + "ab"}));
}

TEST(HeldOutput, FailureIsForGoodAndCountsWhatDidNotLeaveWhole) {
  Holding f;
  f.conn.most = 4;
  EXPECT_TRUE(f.hold("one"));
  EXPECT_TRUE(f.hold("two"));
  EXPECT_TRUE(f.hold("three"));
  const net::WriteResult r = f.write("four");
  EXPECT_EQ(r.error, std::error_code(EPIPE, std::system_category()));
  EXPECT_EQ(r.written, 0U);
  EXPECT_EQ(f.transport.held().lost(), 2U);
  f.conn.most = 100;
  EXPECT_FALSE(f.hold("five"));
  EXPECT_FALSE(f.write("five"));
  EXPECT_FALSE(f.transport.flush());
  std::array<std::byte, 4> into;
  EXPECT_FALSE(f.transport.read(into));
  EXPECT_EQ(f.conn.writes, (Texts{"onet"}));
  EXPECT_EQ(f.conn.reads, 0);
  EXPECT_TRUE(f.transport.held().try_unwatch());
}

TEST(HeldOutput, WriteThatFailsBehindItLosesNoneOfIt) {
  Holding f;
  f.conn.most = 7;
  EXPECT_TRUE(f.hold("one"));
  EXPECT_TRUE(f.hold("two"));
  const net::WriteResult r = f.write("three");
  EXPECT_FALSE(r);
  EXPECT_EQ(r.written, 1U);
  EXPECT_EQ(f.transport.held().lost(), 0U);
}

TEST(HeldOutput, WatchIsWantedOnceUntilTheSweepLetsGo) {
  Holding f;
  HeldOutput& held = f.transport.held();
  EXPECT_FALSE(held.take_wants_watch());
  EXPECT_TRUE(f.hold("one"));
  EXPECT_TRUE(held.take_wants_watch());
  EXPECT_TRUE(held.waits());
  EXPECT_FALSE(held.try_unwatch());
  EXPECT_TRUE(f.hold("two"));
  EXPECT_TRUE(f.transport.flush());
  EXPECT_FALSE(held.waits());
  EXPECT_TRUE(f.hold("three"));
  EXPECT_FALSE(held.take_wants_watch());
  EXPECT_TRUE(f.transport.flush());
  EXPECT_TRUE(held.try_unwatch());
  EXPECT_TRUE(f.transport.held().nothing());
  EXPECT_TRUE(f.hold("four"));
  EXPECT_TRUE(held.take_wants_watch());
}

TEST(HeldOutput, WriterWaitsForWhoeverSendsInItsStead) {
  test::run([] {
    Holding f;
    ASSERT_TRUE(f.hold("one"));
    f.conn.begun = make_chan<int>();
    f.conn.go_on = make_chan<int>();
    test::Task sender([&] { EXPECT_TRUE(f.transport.flush()); });
    f.conn.begun.recv();
    test::Task writer([&] { EXPECT_TRUE(f.write("two")); });
    writer.wait_until_parked();
    EXPECT_TRUE(f.conn.writes.empty());
    f.conn.go_on.send(1);
    f.conn.begun.recv();  // the writer's
    EXPECT_EQ(f.conn.writes, (Texts{"one"}));
    f.conn.go_on.send(1);
    sender.join();
    writer.join();
    EXPECT_EQ(f.conn.writes, (Texts{"one", "two"}));
  });
}

// Whoever holds, writes and sends in another's stead at the same time: nothing is lost, doubled or
// out of order.
TEST(HeldOutput, RaceOfWriterAndSendersKeepsEveryByteInOrder) {
  test::run([] {
    Holding f;
    std::string expected;
    bool done = false;
    Mutex lock;
    std::vector<std::unique_ptr<test::Task>> senders;
    for (int i = 0; i < 3; ++i)
      senders.push_back(std::make_unique<test::Task>([&] {
        for (;;) {
          EXPECT_TRUE(f.transport.flush());
          const std::lock_guard hold(lock);
          if (done) return;
          gosched();
        }
      }));
    for (int i = 0; i < 3000; ++i) {
      const std::string text = std::to_string(i) + ";";
      expected += text;
      if (i % 7 == 0 || !f.hold(text)) {
        EXPECT_EQ(f.write(text).written, text.size());
      }
      if (i % 16 == 0) gosched();
    }
    lock.lock();
    done = true;
    lock.unlock();
    for (auto& s : senders) s->join();
    EXPECT_TRUE(f.transport.flush());
    std::string got;
    for (const std::string& w : f.conn.writes) got += w;
    EXPECT_EQ(got, expected);
  });
}

}  // namespace
}  // namespace treadle::http::detail
