// The helpers of the tests, tested.
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <treadle/chan.h>
#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/net/tcp.h>
#include <csignal>
#include <stdexcept>

#include "net/net_fixture.h"
#include "support/faulty_conn.h"
#include "support/goroutine.h"
#include "support/pipe_conn.h"
#include "support/raw_client.h"
#include "support/spawn.h"

namespace treadle::test {
namespace {

using namespace std::chrono_literals;
using net::Listener;

TEST(SupportRun, ExceptionComesOut) {
  EXPECT_THROW(run([] { throw std::runtime_error("out"); }), std::runtime_error);
}

TEST(SupportRun, TaskRethrowsWhenJoined) {
  run([] {
    Task task([] { throw std::runtime_error("out"); });
    EXPECT_THROW(task.join(), std::runtime_error);
  });
}

TEST(SupportRun, TaskIsSeenParked) {
  run([] {
    const auto gate = make_chan<int>();
    Task task([gate] { (void)gate.recv(); });
    task.wait_until_parked();
    EXPECT_FALSE(task.done());
    gate.close();
    task.join();
    EXPECT_TRUE(task.done());
  });
}

TEST(SupportPipe, BytesEndAndDeadlinesWork) {
  run([] {
    auto [a, b] = make_pipe();
    ASSERT_TRUE(a->write_all("hello"));
    EXPECT_EQ(read_exactly(*b, 5, 100), "hello");
    b->set_read_deadline(Deadline::after(5ms));
    std::string buffer(10, '\0');
    EXPECT_EQ(b->read(writable(buffer)).error(), Errc::timed_out);
    b->set_read_deadline(Deadline::never());
    ASSERT_TRUE(a->shutdown_write());
    EXPECT_EQ(read_all(*b), "");
    Task reader([&, &conn = *a] { EXPECT_EQ(read_all(conn), "back"); });
    ASSERT_TRUE(b->write_all("back"));
    b->close();
  });
}

TEST(SupportFaulty, ReadsComeInThePiecesAskedFor) {
  run([] {
    auto [ours, theirs] = make_pipe();
    FaultyConn conn(std::move(ours));
    conn.read_in_pieces({1, 2}, 3);
    ASSERT_TRUE(theirs->write_all("0123456789"));
    std::string buffer(100, '\0');
    for (const std::size_t expected : {1u, 2u, 3u, 3u, 1u}) {
      const auto n = conn.read(writable(buffer));
      ASSERT_TRUE(n);
      EXPECT_EQ(*n, expected);
    }
    EXPECT_EQ(conn.bytes_read(), 10u);
  });
}

TEST(SupportFaulty, FailsAtTheByteAndTheCall) {
  run([] {
    auto [ours, theirs] = make_pipe();
    FaultyConn conn(std::move(ours));
    conn.fail_reads_at_byte(4, ECONNRESET);
    conn.fail_writes_at_byte(3, EPIPE);
    ASSERT_TRUE(theirs->write_all("0123456789"));
    std::string buffer(100, '\0');
    EXPECT_EQ(*conn.read(writable(buffer)), 4u);
    EXPECT_EQ(conn.read(writable(buffer)).error(), std::errc::connection_reset);
    const auto wrote = conn.write_all("abcdef");
    EXPECT_EQ(wrote.written, 3u);
    EXPECT_EQ(wrote.error, std::errc::broken_pipe);
    EXPECT_EQ(read_exactly(*theirs, 3), "abc");

    auto [more, peer] = make_pipe();
    FaultyConn other(std::move(more));
    other.fail_writes_at_call(1, EIO);
    EXPECT_TRUE(other.write_all("a"));
    EXPECT_EQ(other.write_all("b").error, std::errc::io_error);
  });
}

TEST(SupportFaulty, StallHoldsUntilReleased) {
  run([] {
    auto [ours, theirs] = make_pipe();
    FaultyConn conn(std::move(ours));
    conn.stall_writes_at_byte(2);
    conn.stall_reads_at_byte(1);
    Task writer([&] { EXPECT_TRUE(conn.write_all("abcd")); });
    conn.wait_for_stalled_write();
    EXPECT_EQ(read_exactly(*theirs, 2), "ab");
    EXPECT_FALSE(writer.done());
    conn.release_writes();
    writer.join();
    EXPECT_EQ(read_exactly(*theirs, 2), "cd");

    ASSERT_TRUE(theirs->write_all("xy"));
    Task reader([&] { EXPECT_EQ(read_exactly(conn, 2), "xy"); });
    conn.wait_for_stalled_read();
    EXPECT_EQ(conn.bytes_read(), 1u);
    conn.release_reads();
  });
}

TEST(SupportFaulty, StallEndsByCloseDeadlineAndContext) {
  run([] {
    auto [ours, theirs] = make_pipe();
    FaultyConn conn(std::move(ours));
    conn.stall_reads_at_byte(0);
    std::string buffer(100, '\0');
    conn.set_read_deadline(Deadline::after(5ms));
    EXPECT_EQ(conn.read(writable(buffer)).error(), Errc::timed_out);
    conn.set_read_deadline(Deadline::never());
    {
      const auto [ctx, cancel] = with_cancel(background());
      const ContextScope scope(ctx);
      cancel();
      EXPECT_EQ(conn.read(writable(buffer)).error(), Errc::canceled);
    }
    Task reader([&] { EXPECT_EQ(conn.read(writable(buffer)).error(), Errc::closed); });
    reader.wait_until_parked();
    conn.close();
  });
}

// Answers the one connection it gets with `bytes` and closes.
class CannedServer {
 public:
  explicit CannedServer(std::string bytes)
      : listener_(make_listener()), task_([this, bytes = std::move(bytes)] {
          auto conn = listener_.accept();
          if (!conn) return;
          EXPECT_TRUE((*conn)->write_all(bytes));
          EXPECT_TRUE((*conn)->shutdown_write());
          (void)read_all(**conn);
        }) {}
  std::uint16_t port() const { return listener_.address().port(); }

 private:
  Listener listener_;
  Task task_;
};

TEST(SupportRawClient, ReadsResponsesByLengthChunksAndClose) {
  run([] {
    CannedServer server(
        "HTTP/1.1 100 Continue\r\n\r\n"
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: 1\r\nx:  2 \r\n\r\nhello"
        "HTTP/1.1 204 No Content\r\n\r\n"
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x\r\n0123456789\r\n"
        "0\r\nTrailer: t\r\n\r\n"
        "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"
        "HTTP/1.0 404 \r\n\r\nto the end");
    RawClient client(server.port());
    EXPECT_EQ(client.read_response().status, 100);
    const RawResponse by_length = client.read_response();
    EXPECT_EQ(by_length.status, 200);
    EXPECT_EQ(by_length.body, "hello");
    EXPECT_EQ(by_length.header("content-length"), "5");
    EXPECT_EQ(by_length.count("X"), 2u);
    EXPECT_EQ(by_length.headers.back().second, "2");
    EXPECT_EQ(client.read_response().status, 204);
    const RawResponse chunked = client.read_response();
    EXPECT_EQ(chunked.body, "abc0123456789");
    EXPECT_EQ(chunked.trailers.at(0).second, "t");
    EXPECT_EQ(client.read_response(RawClient::Request::head).body, "");
    const RawResponse last = client.read_response();
    EXPECT_EQ(last.status, 404);
    EXPECT_TRUE(last.until_close);
    EXPECT_EQ(last.body, "to the end");
    client.close();
  });
}

TEST(SupportRawClient, SendsSplitAndSeesTheEnd) {
  run([] {
    Listener listener = make_listener();
    std::string got;
    Task server([&] {
      auto conn = listener.accept();
      ASSERT_TRUE(conn);
      got = read_all(**conn);
    });
    RawClient client(listener.address().port());
    EXPECT_TRUE(client.send_split("hello world", {1, 5, 6}));
    EXPECT_TRUE(client.send_bytewise("bytes"));
    client.shutdown_write();
    EXPECT_EQ(client.read_until_close(), "");
    server.join();
    EXPECT_EQ(got, "hello worldbytes");
  });
}

TEST(SupportRawClient, MissingBytesFailTheTest) {
  run([] {
    CannedServer server("short");
    RawClient client(server.port());
    EXPECT_NONFATAL_FAILURE(EXPECT_EQ(client.read_exactly(10), "short"), "short");
    client.close();
  });
}

TEST(SupportSpawn, OutputAndExitCodeAreCollected) {
  Process echo({"sh", "-c", "echo out; echo err >&2; exit 7"});
  EXPECT_EQ(echo.wait(), 7);
  EXPECT_EQ(echo.output(), "out\nerr\n");
}

TEST(SupportSpawn, InputEnvironmentAndDirectoryReachTheChild) {
  Process child({"sh", "-c", "pwd; echo $TREADLE_TEST_X; cat"},
                {.environment = {"TREADLE_TEST_X=value"}, .directory = "/", .input = "input"});
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(child.output(), "/\nvalue\ninput");
}

TEST(SupportSpawn, SignalsAndWaitsForOutput) {
  Process child({"sh", "-c", "trap 'echo caught; exit 3' TERM; echo ready; while :; do :; done"});
  ASSERT_TRUE(child.wait_for_output("ready"));
  EXPECT_TRUE(child.running());
  child.signal(SIGTERM);
  EXPECT_EQ(child.wait(), 3);
  EXPECT_FALSE(child.running());
  Process killed({"sleep", "1000"});
  killed.signal(SIGKILL);
  EXPECT_EQ(killed.wait(), 128 + SIGKILL);
}

TEST(SupportSpawn, MissingProgramThrows) {
  EXPECT_THROW(Process({"/no/such/program"}), std::system_error);
}

TEST(SupportSpawn, LeftChildIsKilled) {
  pid_t pid = -1;
  {
    Process child({"sleep", "1000"});
    pid = child.pid();
  }
  EXPECT_EQ(::kill(pid, 0), -1);
}

}  // namespace
}  // namespace treadle::test
