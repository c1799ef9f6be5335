#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <system_error>

#include <treadle/net/file.h>
#include <treadle/net/tcp.h>

#include "net/net_fixture.h"
#include "support/faulty_conn.h"
#include "support/goroutine.h"
#include "support/pipe_conn.h"
#include "support/raw_client.h"
#include "support/temporary_tree.h"

namespace treadle::net {
namespace {

using test::FaultyConn;
using test::make_listener;
using test::make_tcp_pair;
using test::pattern;
using test::RawClient;
using test::read_all;
using test::read_exactly;
using test::Task;
using test::TcpPair;
using test::TemporaryTree;

struct Range {
  std::uint64_t offset;
  std::uint64_t count;
};

TEST(SendFileTcp, RangesArriveWhole) {
  test::run([] {
    const TemporaryTree tree;
    const std::string text = pattern(3'000'000);
    tree.write("f", text);
    const File file = *File::open(tree.path("f"));
    for (const Range r : {Range{0, 3'000'000}, Range{0, 1}, Range{2'999'999, 1}, Range{1, 524'288},
                          Range{700'000, 1'600'001}, Range{5, 0}}) {
      TcpPair pair = make_tcp_pair({.send_buffer = 16384, .receive_buffer = 16384});
      Task sender([&] {
        const auto sent = pair.server->send_file(file, r.offset, r.count);
        EXPECT_TRUE(sent) << sent.error.message();
        EXPECT_EQ(sent.written, r.count);
        pair.server->close();
      });
      EXPECT_TRUE(read_all(*pair.client) == text.substr(r.offset, r.count));
    }
  });
}

TEST(SendFileTcp, EndOfFileEndsItEarlyWithoutError) {
  test::run([] {
    const TemporaryTree tree;
    tree.write("f", "0123456789");
    const File file = *File::open(tree.path("f"));
    TcpPair pair = make_tcp_pair();
    auto sent = pair.server->send_file(file, 4, 100);
    EXPECT_TRUE(sent);
    EXPECT_EQ(sent.written, 6u);
    sent = pair.server->send_file(file, 10, 1);
    EXPECT_TRUE(sent);
    EXPECT_EQ(sent.written, 0u);
    pair.server->close();
    EXPECT_EQ(read_all(*pair.client), "456789");
  });
}

TEST(SendFileTcp, FileTruncatedUnderTransferEndsEarly) {
  test::run([] {
    const TemporaryTree tree;
    constexpr std::size_t kSize = 8 << 20;
    tree.write("f", pattern(kSize));
    const File file = *File::open(tree.path("f"));
    TcpPair pair = make_tcp_pair({.send_buffer = 16384, .receive_buffer = 16384});
    WriteResult sent;
    Task sender([&] {
      sent = pair.server->send_file(file, 0, kSize);
      pair.server->close();
    });
    sender.wait_until_parked();
    ASSERT_EQ(::truncate(tree.path("f").c_str(), 1 << 20), 0);
    const std::string got = read_all(*pair.client);
    sender.join();
    EXPECT_TRUE(sent) << sent.error.message();
    EXPECT_LT(sent.written, kSize);
    EXPECT_EQ(got.size(), sent.written);
  });
}

TEST(SendFileTcp, BadFileIsAnError) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    EXPECT_EQ(pair.server->send_file(File(), 0, 1).error, std::errc::bad_file_descriptor);
    const File directory = *File::open("/");
    EXPECT_FALSE(pair.server->send_file(directory, 0, 1));
  });
}

TEST(SendFileTcp, FilesThatCannotBeSplicedAreReadAndWritten) {
  test::run([] {
    const File file = *File::open("/proc/self/status");
    TcpPair pair = make_tcp_pair();
    const auto sent = pair.server->send_file(file, 0, 20);
    EXPECT_TRUE(sent) << sent.error.message();
    EXPECT_EQ(sent.written, 20u);
    EXPECT_EQ(read_exactly(*pair.client, 20).substr(0, 5), "Name:");
  });
}

TEST(SendFileTcp, DeadlineAndCloseEndIt) {
  test::run([] {
    const TemporaryTree tree;
    constexpr std::size_t kSize = 8 << 20;
    tree.write("f", pattern(kSize));
    const File file = *File::open(tree.path("f"));
    TcpPair pair = make_tcp_pair({.send_buffer = 16384, .receive_buffer = 16384});
    pair.server->set_write_deadline(Deadline::after(std::chrono::milliseconds(30)));
    auto sent = pair.server->send_file(file, 0, kSize);
    EXPECT_EQ(sent.error, Errc::timed_out);
    EXPECT_LT(sent.written, kSize);
    pair.server->set_write_deadline(Deadline::never());
    Task sender([&] { EXPECT_EQ(pair.server->send_file(file, 0, kSize).error, Errc::closed); });
    sender.wait_until_parked();
    pair.server->close();
  });
}

// Throws where the kernel has no BBR, or keeps it for others.
TcpPair make_pair_with(const std::string& congestion_control, int send_buffer = 0) {
  return make_tcp_pair({.send_buffer = send_buffer,
                        .receive_buffer = 16384,
                        .congestion_control = congestion_control});
}

bool may_use_bbr() {
  try {
    (void)make_pair_with("bbr");
    return true;
  } catch (const std::system_error&) {
    return false;
  }
}

// Bytes that leave, of `count` asked for, while nobody reads.
std::uint64_t sent_into_silence(const File& file, std::uint64_t count, TcpPair pair) {
  WriteResult sent;
  Task sender([&] { sent = pair.server->send_file(file, 0, count); });
  sender.wait_until_parked();
  pair.server->close();
  sender.join();
  EXPECT_EQ(sent.error, Errc::closed);
  return sent.written;
}

TEST(SendFileTcp, LargeFileToThisMachineKeepsItsQueueShortWithBbr) {
  test::run([] {
    if (!may_use_bbr()) GTEST_SKIP() << "no BBR";
    const TemporaryTree tree;
    constexpr std::size_t kSize = 8 << 20;
    tree.write("f", pattern(kSize));
    const File file = *File::open(tree.path("f"));
    // 128 KiB in the send buffer, and what the peer's receive buffer takes. Untouched, the send
    // buffer takes megabytes.
    const std::uint64_t usual = sent_into_silence(file, kSize, make_pair_with("bbr"));
    EXPECT_GT(usual, 16384u);
    EXPECT_LT(usual, 512u * 1024);
    const std::uint64_t smaller = sent_into_silence(file, kSize, make_pair_with("bbr", 16384));
    EXPECT_LT(smaller, 128u * 1024) << "a smaller one was enlarged";
  });
}

TEST(SendFileTcp, LargeFileToThisMachineLeavesItsQueueAloneWithout) {
  test::run([] {
    const TemporaryTree tree;
    constexpr std::size_t kSize = 8 << 20;
    tree.write("f", pattern(kSize));
    const File file = *File::open(tree.path("f"));
    EXPECT_GT(sent_into_silence(file, kSize, make_pair_with("reno")), 1024u * 1024);
  });
}

TEST(SendFileTcp, LargeFilesToThisMachineArriveWholeAfterOneAnother) {
  test::run([] {
    const TemporaryTree tree;
    const std::string text = pattern(3'000'000);
    tree.write("f", text);
    const File file = *File::open(tree.path("f"));
    TcpPair pair = make_tcp_pair({.congestion_control = may_use_bbr() ? "bbr" : ""});
    const Range ranges[] = {{0, 262'143}, {7, 262'144}, {100'001, 2'899'999}, {0, 3'000'000}};
    Task sender([&] {
      for (const Range& r : ranges) {
        const auto sent = pair.server->send_file(file, r.offset, r.count);
        EXPECT_TRUE(sent) << sent.error.message();
        EXPECT_EQ(sent.written, r.count);
      }
      pair.server->close();
    });
    for (const Range& r : ranges)
      EXPECT_TRUE(read_exactly(*pair.client, r.count) == text.substr(r.offset, r.count));
    EXPECT_EQ(read_all(*pair.client), "");
  });
}

// The same as with small buffers of the test's own, where the shortened one is in use.
TEST(SendFileTcp, LargeFileToThisMachineSeesItsTruncationAndItsDeadline) {
  test::run([] {
    const TemporaryTree tree;
    constexpr std::size_t kSize = 8 << 20;
    tree.write("f", pattern(kSize));
    const File file = *File::open(tree.path("f"));
    TcpPair pair = make_pair_with(may_use_bbr() ? "bbr" : "");
    pair.server->set_write_deadline(Deadline::after(std::chrono::milliseconds(30)));
    const auto first = pair.server->send_file(file, 0, kSize);
    EXPECT_EQ(first.error, Errc::timed_out);
    EXPECT_LT(first.written, kSize);
    pair.server->set_write_deadline(Deadline::never());
    WriteResult rest;
    Task sender([&] {
      rest = pair.server->send_file(file, first.written, kSize - first.written);
      pair.server->close();
    });
    sender.wait_until_parked();
    ASSERT_EQ(::truncate(tree.path("f").c_str(), 2 << 20), 0);
    const std::string got = read_all(*pair.client);
    sender.join();
    EXPECT_TRUE(rest) << rest.error.message();
    EXPECT_EQ(first.written + rest.written, 2u << 20);
    // Places only: what was cut off while it stood in the queue is sent as zeros.
    EXPECT_EQ(got.size(), 2u << 20);
  });
}

TEST(SendFileTcp, PeerOnThisMachineThatResetsEndsALargeFile) {
  test::run([] {
    const TemporaryTree tree;
    constexpr std::size_t kSize = 8 << 20;
    tree.write("f", pattern(kSize));
    const File file = *File::open(tree.path("f"));
    TcpPair pair = make_tcp_pair();
    WriteResult sent;
    Task sender([&] { sent = pair.server->send_file(file, 0, kSize); });
    sender.wait_until_parked();
    pair.client->reset();
    sender.join();
    EXPECT_TRUE(sent.error == std::errc::broken_pipe || sent.error == std::errc::connection_reset)
        << sent.error.message();
    EXPECT_LT(sent.written, kSize);
  });
}

TEST(SendFileTcp, PeerThatIsGoneIsAnErrorAndTheProcessLives) {
  test::run([] {
    const TemporaryTree tree;
    constexpr std::size_t kSize = 8 << 20;
    tree.write("f", pattern(kSize));
    const File file = *File::open(tree.path("f"));
    Listener listener = make_listener();
    RawClient client(listener.address().port());
    auto conn = listener.accept();
    ASSERT_TRUE(conn);
    client.reset();
    for (int i = 0; i < 3; ++i) {
      const auto sent = (*conn)->send_file(file, 0, kSize);
      EXPECT_TRUE(sent.error == std::errc::broken_pipe || sent.error == std::errc::connection_reset)
          << sent.error.message();
    }
  });
}

TEST(SendFileOther, AnyConnReadsAndWrites) {
  test::run([] {
    const TemporaryTree tree;
    const std::string text = pattern(300'000);
    tree.write("f", text);
    const File file = *File::open(tree.path("f"));
    auto [ours, theirs] = test::make_pipe();
    FaultyConn conn(std::move(ours));
    Task sender([&] {
      const auto sent = conn.send_file(file, 1, 1'000'000);
      EXPECT_TRUE(sent);
      EXPECT_EQ(sent.written, text.size() - 1);
      conn.close();
    });
    EXPECT_TRUE(read_all(*theirs) == text.substr(1));
  });
}

TEST(SendFileOther, WriteErrorSaysHowMuchLeft) {
  test::run([] {
    const TemporaryTree tree;
    tree.write("f", pattern(300'000));
    const File file = *File::open(tree.path("f"));
    auto [ours, theirs] = test::make_pipe();
    FaultyConn conn(std::move(ours));
    conn.fail_writes_at_byte(100'000, EPIPE);
    Task reader([&, &peer = *theirs] { EXPECT_EQ(read_all(peer).size(), 100'000u); });
    const auto sent = conn.send_file(file, 0, 300'000);
    EXPECT_EQ(sent.error, std::errc::broken_pipe);
    EXPECT_EQ(sent.written, 100'000u);
    conn.close();
  });
}

}  // namespace
}  // namespace treadle::net
