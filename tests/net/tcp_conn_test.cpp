#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>

#include <treadle/blocking.h>
#include <treadle/go.h>
#include <treadle/net/tcp.h>

#include "net/net_fixture.h"
#include "support/goroutine.h"
#include "support/raw_client.h"

namespace treadle::net {
namespace {

using test::fill;
using test::make_listener;
using test::make_tcp_pair;
using test::pattern;
using test::RawClient;
using test::read_all;
using test::read_exactly;
using test::Task;
using test::TcpPair;
using test::writable;

// Copies what comes back to its sender until the end of the stream.
void echo(Conn& conn) {
  std::string buffer(4096, '\0');
  for (;;) {
    const auto n = conn.read(writable(buffer));
    if (!n || *n == 0) return;
    if (!conn.write_all(std::string_view(buffer).substr(0, *n))) return;
  }
}

TEST(TcpConnEcho, ComesBack) {
  test::run([] {
    Listener listener = make_listener();
    Task server([&] {
      auto conn = listener.accept();
      ASSERT_TRUE(conn);
      echo(**conn);
    });
    auto conn = dial_tcp(listener.address());
    ASSERT_TRUE(conn) << conn.error().message();
    for (const char* text : {"a", "hello", "once more"}) {
      ASSERT_TRUE((*conn)->write_all(std::string_view(text)));
      EXPECT_EQ(read_exactly(**conn, std::string_view(text).size()), text);
    }
    (*conn)->close();
  });
}

TEST(TcpConnEcho, ManyConnectionsAtOnce) {
  test::run([] {
    constexpr int kConnections = 100;
    Listener listener = make_listener();
    Task server([&] {
      for (int i = 0; i < kConnections; ++i) {
        auto conn = listener.accept();
        ASSERT_TRUE(conn);
        go([c = std::shared_ptr(std::move(*conn))] { echo(*c); });
      }
    });
    std::vector<std::unique_ptr<Task>> clients;
    clients.reserve(kConnections);
    for (int i = 0; i < kConnections; ++i)
      clients.push_back(std::make_unique<Task>([&, i] {
        auto conn = dial_tcp(listener.address());
        ASSERT_TRUE(conn) << conn.error().message();
        for (unsigned round = 0; round < 20; ++round) {
          const std::string text = pattern(100 + round * 37, static_cast<unsigned>(i));
          ASSERT_TRUE((*conn)->write_all(text));
          ASSERT_EQ(read_exactly(**conn, text.size()), text);
        }
      }));
    for (auto& client : clients) client->join();
  });
}

TEST(TcpConnTransfer, LargeBothWaysThroughTinyBuffers) {
  test::run([] {
    TcpPair pair = make_tcp_pair({.send_buffer = 4096, .receive_buffer = 4096});
    constexpr std::size_t kSize = 3 << 20;
    const std::string there = pattern(kSize, 1);
    const std::string back = pattern(kSize, 2);
    auto send = [](Conn& conn, const std::string& text) {
      const auto wrote = conn.write_all(text);
      EXPECT_TRUE(wrote) << wrote.error.message();
      EXPECT_EQ(wrote.written, text.size());
      EXPECT_TRUE(conn.shutdown_write());
    };
    Task a([&] { send(*pair.client, there); });
    Task b([&] { send(*pair.server, back); });
    Task c([&] { EXPECT_TRUE(read_all(*pair.client, 1000) == back); });
    EXPECT_TRUE(read_all(*pair.server, 70000) == there);
  });
}

TEST(TcpConnTransfer, ManyPartsLeaveInOrder) {
  test::run([] {
    TcpPair pair = make_tcp_pair({.send_buffer = 4096, .receive_buffer = 4096});
    const std::string text = pattern(700 * 1000);
    std::vector<iovec> parts;
    std::size_t at = 0;
    for (std::size_t i = 0; i < 1000; ++i) {
      // Some empty; the last one longer than the socket's buffer.
      const std::size_t size = i == 999 ? text.size() - at : (i * 7919) % 600;
      parts.push_back({const_cast<char*>(text.data()) + at, size});
      at += size;
    }
    Task writer([&] {
      const auto wrote = pair.client->write_all(parts);
      EXPECT_TRUE(wrote);
      EXPECT_EQ(wrote.written, text.size());
      pair.client->close();
    });
    EXPECT_TRUE(read_all(*pair.server, 777) == text);
  });
}

// Goroutines that compute or block lose their P, and the others move from thread to thread: what a
// call keeps of its thread over a park (errno's address) would show here.
TEST(TcpConnTransfer, GoesOnBesideHogs) {
  test::run([] {
    std::atomic<bool> stop{false};
    Task computing([&] {
      while (!stop) {
        const auto until = Deadline::after(std::chrono::milliseconds(25));
        while (!until.passed() && !stop) {
        }
        gosched();
      }
    });
    Task blocking_calls([&] {
      while (!stop) {
        blocking([] { ::poll(nullptr, 0, 2); });
        gosched();
      }
    });
    TcpPair pair = make_tcp_pair({.send_buffer = 4096, .receive_buffer = 4096});
    const std::string text = pattern(400'000);
    Task echoing([&] { echo(*pair.server); });
    Task writer([&] { EXPECT_TRUE(pair.client->write_all(text)); });
    EXPECT_TRUE(read_exactly(*pair.client, text.size(), 1000) == text);
    stop = true;
    pair.client->close();
  });
}

TEST(TcpConnWrite, NothingToWriteSucceeds) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    EXPECT_TRUE(pair.client->write_all(std::string_view()));
    EXPECT_TRUE(pair.client->write_all(std::span<const iovec>()));
    const iovec empty[3] = {};
    EXPECT_TRUE(pair.client->write_all(std::span(empty)));
  });
}

TEST(TcpConnRead, EmptyBufferReturnsAtOnce) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    const auto n = pair.client->read({});
    ASSERT_TRUE(n);
    EXPECT_EQ(*n, 0u);
  });
}

// The shortcut after a short read, in each order of arrival.
TEST(TcpConnRead, DataAfterShortReadIsSeen) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    Task reader([&] {
      for (int i = 0; i < 2000; ++i) EXPECT_EQ(read_exactly(*pair.server, 1, 100).size(), 1u);
    });
    for (int i = 0; i < 2000; ++i) {
      ASSERT_TRUE(pair.client->write_all("x"));
      if (i % 3 == 0) gosched();
      if (i % 100 == 0) reader.wait_until_parked();
    }
  });
}

TEST(TcpConnHalfClose, OneSideEndsWhileTheOtherGoesOn) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    ASSERT_TRUE(pair.client->write_all("question"));
    ASSERT_TRUE(pair.client->shutdown_write());
    EXPECT_EQ(read_all(*pair.server), "question");
    ASSERT_TRUE(pair.server->write_all("answer"));
    ASSERT_TRUE(pair.server->write_all(" in two parts"));
    ASSERT_TRUE(pair.server->shutdown_write());
    EXPECT_EQ(read_all(*pair.client), "answer in two parts");
    EXPECT_EQ(pair.client->write_all("late").error, std::errc::broken_pipe);
  });
}

// Data and FIN in one segment make one edge. A reader that slept after its short read would sleep
// for ever.
TEST(TcpConnHalfClose, DataAndFinInOneEdgeAreBothSeen) {
  test::run([] {
    for (int i = 0; i < 3000; ++i) {
      TcpPair pair = make_tcp_pair();
      Task reader([&] { EXPECT_EQ(read_all(*pair.server, 100), "all of it"); });
      if (i % 4 == 0) reader.wait_until_parked();
      ASSERT_TRUE(pair.client->write_all("all of it"));
      if (i % 4 == 1) gosched();
      pair.client->close();
      if (i % 4 == 2) gosched();
    }
  });
}

TEST(TcpConnHalfClose, DataAndFinBeforeTheFirstReadAreBothSeen) {
  test::run([] {
    for (int i = 0; i < 1000; ++i) {
      TcpPair pair = make_tcp_pair();
      ASSERT_TRUE(pair.client->write_all("all of it"));
      ASSERT_TRUE(pair.client->shutdown_write());
      ASSERT_EQ(read_all(*pair.server, 100), "all of it");
    }
  });
}

TEST(TcpConnHalfClose, FinAfterManyShortReadsIsSeen) {
  test::run([] {
    for (int i = 0; i < 300; ++i) {
      TcpPair pair = make_tcp_pair();
      Task reader([&] { EXPECT_EQ(read_all(*pair.server, 4).size(), 30u); });
      for (int k = 0; k < 10; ++k) {
        ASSERT_TRUE(pair.client->write_all("abc"));
        if ((i + k) % 3 == 0) gosched();
      }
      ASSERT_TRUE(pair.client->shutdown_write());
      reader.join();
    }
  });
}

TEST(TcpConnHalfClose, PeerClosedShowsWithoutAReader) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    EXPECT_FALSE(pair.server->peer_closed());
    ASSERT_TRUE(pair.client->shutdown_write());
    const auto limit = Deadline::after(test::patience());
    while (!pair.server->peer_closed() && !limit.passed()) gosched();
    EXPECT_TRUE(pair.server->peer_closed());
  });
}

// Urgent data is read in line. A read stops at its mark although more is there, without a further
// edge: the shortcut must not sleep then.
TEST(TcpConnUrgent, BytesBehindTheMarkAreRead) {
  test::run([] {
    Listener listener = make_listener();
    for (int i = 0; i < 100; ++i) {
      RawClient client(listener.address().port());
      auto conn = listener.accept();
      ASSERT_TRUE(conn);
      Task reader([&] { EXPECT_EQ(read_exactly(**conn, 12, 100), "abXdefYZghiW"); });
      if (i % 2 == 0) reader.wait_until_parked();
      client.send("ab");
      client.send_urgent('X');
      if (i % 3 == 0) gosched();
      client.send("def");
      client.send_urgent('Y');
      client.send_urgent('Z');
      if (i % 5 == 0) gosched();
      client.send("ghi");
      client.send_urgent('W');
      reader.join();
    }
  });
}

TEST(TcpConnUrgent, MarkBeforeTheFirstReadIsNoEnd) {
  test::run([] {
    Listener listener = make_listener();
    RawClient client(listener.address().port());
    client.send("ab");
    client.send_urgent('X');
    client.send("def");
    auto conn = listener.accept();
    ASSERT_TRUE(conn);
    EXPECT_EQ(read_exactly(**conn, 6, 100), "abXdef");
  });
}

TEST(TcpConnUrgent, UrgentDataIsNoPeerClose) {
  test::run([] {
    Listener listener = make_listener();
    RawClient client(listener.address().port());
    auto conn = listener.accept();
    ASSERT_TRUE(conn);
    client.send_urgent('X');
    EXPECT_EQ(read_exactly(**conn, 1), "X");
    EXPECT_FALSE((*conn)->peer_closed());
  });
}

TEST(TcpConnReset, ReaderGetsConnectionReset) {
  test::run([] {
    Listener listener = make_listener();
    for (int i = 0; i < 100; ++i) {
      RawClient client(listener.address().port());
      auto conn = listener.accept();
      ASSERT_TRUE(conn);
      Task reader([&] {
        std::string buffer(100, '\0');
        const auto n = (*conn)->read(writable(buffer));
        ASSERT_FALSE(n);
        EXPECT_EQ(n.error(), std::errc::connection_reset);
      });
      if (i % 2 == 0) reader.wait_until_parked();
      client.reset();
      reader.join();
      EXPECT_TRUE((*conn)->peer_closed());
    }
  });
}

TEST(TcpConnReset, WriterGetsAnErrorAndTheProcessLives) {
  test::run([] {
    Listener listener = make_listener();
    RawClient client(listener.address().port());
    auto conn = listener.accept();
    ASSERT_TRUE(conn);
    fill(**conn);
    Task writer([&] {
      const auto wrote = (*conn)->write_all(pattern(1 << 20));
      EXPECT_TRUE(wrote.error == std::errc::connection_reset ||
                  wrote.error == std::errc::broken_pipe)
          << wrote.error.message();
    });
    writer.wait_until_parked();
    client.reset();
    writer.join();
    EXPECT_EQ((*conn)->write_all("x").error, std::errc::broken_pipe);
  });
}

TEST(TcpConnWaitReadable, ReturnsWhenBytesAreThereAndReadTakesThem) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    for (int i = 0; i < 50; ++i) {
      Task waiter([&] {
        EXPECT_TRUE(pair.server->wait_readable());
        EXPECT_EQ(read_exactly(*pair.server, 3, 100), "abc");
      });
      if (i % 2 == 0) waiter.wait_until_parked();
      ASSERT_TRUE(pair.client->write_all("abc"));
    }
    ASSERT_TRUE(pair.client->shutdown_write());
    EXPECT_TRUE(pair.server->wait_readable());
    EXPECT_EQ(read_all(*pair.server), "");
  });
}

TEST(TcpConnWaitReadable, UnreadBytesOfALongReadCount) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    ASSERT_TRUE(pair.client->write_all("abcdef"));
    EXPECT_EQ(read_exactly(*pair.server, 3, 3), "abc");
    EXPECT_TRUE(pair.server->wait_readable());
    EXPECT_EQ(read_exactly(*pair.server, 3, 3), "def");
  });
}

// A read that found nothing stands for the look before the wait: what comes after it ends that.
TEST(TcpConnReadNow, TakesWhatIsThereAndWaitsForNothing) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    std::array<std::byte, 8> into;
    for (const char* sent : {"abc", "de"}) {
      EXPECT_EQ(pair.server->read_now(into).error(), std::errc::operation_would_block);
      const auto wait = pair.server->begin_dormant_wait();
      ASSERT_TRUE(wait);
      EXPECT_NE(*wait, nullptr);
      ASSERT_TRUE(pair.client->write_all(sent));
      ASSERT_TRUE(pair.server->wait_readable());
      const std::size_t size = std::string_view(sent).size();
      EXPECT_EQ(pair.server->read_now(into), size);
    }
    EXPECT_EQ(pair.server->read_now(into).error(), std::errc::operation_would_block);
    ASSERT_TRUE(pair.client->shutdown_write());
    EXPECT_EQ(pair.server->read(into), 0U);
    EXPECT_EQ(pair.server->read_now(into), 0U);
    EXPECT_TRUE(pair.server->peer_closed());
    pair.server->close();
    EXPECT_EQ(pair.server->read_now(into).error(), Errc::closed);
  });
}

// The data and the end of one segment make one edge, and nobody is left to wait for another.
TEST(TcpConnReadNow, SeesTheEndBehindTheLastBytes) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    std::array<std::byte, 8> into;
    EXPECT_EQ(pair.server->read_now(into).error(), std::errc::operation_would_block);
    ASSERT_TRUE(pair.client->write_all("x"));
    ASSERT_TRUE(pair.client->shutdown_write());
    while (!pair.server->peer_closed()) gosched();
    EXPECT_EQ(pair.server->read_now(into), 1U);
    EXPECT_EQ(pair.server->read_now(into), 0U);
  });
}

// What came before the first look costs no sleep, and nothing is slept over.
TEST(TcpConnDormant, FirstWaitSeesWhatIsThere) {
  test::run([] {
    TcpPair quiet = make_tcp_pair();
    auto wait = quiet.server->begin_dormant_wait();
    ASSERT_TRUE(wait);
    EXPECT_NE(*wait, nullptr);

    TcpPair data = make_tcp_pair();
    ASSERT_TRUE(data.client->write_all("x"));
    ASSERT_TRUE(data.client->shutdown_write());
    while (!data.server->peer_closed()) gosched();  // it has come, and nobody has looked
    for (const char* left : {"x", ""}) {
      wait = data.server->begin_dormant_wait();
      ASSERT_TRUE(wait);
      EXPECT_EQ(*wait, nullptr);
      EXPECT_EQ(read_exactly(*data.server, std::string_view(left).size()), left);
    }

    TcpPair closed = make_tcp_pair();
    closed.server->close();
    EXPECT_EQ(closed.server->begin_dormant_wait().error(), Errc::closed);
  });
}

TEST(TcpConnAddresses, EachEndNamesTheOther) {
  test::run([] {
    Listener listener = make_listener();
    auto client = dial_tcp(listener.address());
    ASSERT_TRUE(client);
    auto server = listener.accept();
    ASSERT_TRUE(server);
    EXPECT_EQ((*client)->remote_address(), listener.address());
    EXPECT_EQ((*server)->local_address(), listener.address());
    EXPECT_EQ((*server)->remote_address(), (*client)->local_address());
    (*server)->close();
    EXPECT_EQ((*server)->local_address(), SocketAddress());
    EXPECT_EQ((*server)->remote_address(), (*client)->local_address());
  });
}

// gtest's thread, not a goroutine: the calls block it.
TEST(TcpConnPlainThread, ReadsAndWrites) {
  TcpPair pair = make_tcp_pair();
  test::run([&] { EXPECT_TRUE(pair.client->write_all("from a goroutine")); });
  EXPECT_EQ(read_exactly(*pair.server, 16), "from a goroutine");
  EXPECT_TRUE(pair.server->write_all("from a thread"));
  test::run([&] { EXPECT_EQ(read_exactly(*pair.client, 13), "from a thread"); });
}

TEST(TcpConnPlainThread, BlocksUntilBytesCome) {
  TcpPair pair = make_tcp_pair();
  go([&] {
    EXPECT_TRUE(pair.client->write_all("ping"));
    EXPECT_EQ(read_exactly(*pair.client, 4), "pong");
    EXPECT_TRUE(pair.client->write_all("done"));
  });
  EXPECT_EQ(read_exactly(*pair.server, 4, 100), "ping");
  EXPECT_TRUE(pair.server->write_all("pong"));
  EXPECT_EQ(read_exactly(*pair.server, 4, 100), "done");
  test::expect_goroutines(0);
}

}  // namespace
}  // namespace treadle::net
