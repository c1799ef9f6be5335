#include <gtest/gtest.h>

#include <treadle/go.h>
#include <treadle/net/tcp.h>
#include <memory>
#include <vector>

#include "net/net_fixture.h"
#include "support/goroutine.h"
#include "support/raw_client.h"

namespace treadle::net {
namespace {

using test::make_listener;
using test::make_tcp_pair;
using test::pattern;
using test::read_all;
using test::read_error;
using test::read_exactly;
using test::Task;
using test::TcpPair;
using test::writable;

TEST(TcpCloseLocal, EveryCallSaysClosed) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    pair.server->close();
    pair.server->close();
    EXPECT_EQ(read_error(*pair.server), Errc::closed);
    EXPECT_EQ(pair.server->write_all("x").error, Errc::closed);
    EXPECT_EQ(pair.server->wait_readable().error(), Errc::closed);
    EXPECT_EQ(pair.server->shutdown_write().error(), Errc::closed);
    EXPECT_EQ(pair.server->local_address().family(), AF_UNSPEC);
    pair.server->set_deadline(Deadline::never());
    EXPECT_EQ(read_all(*pair.client), "");
  });
}

TEST(TcpCloseLocal, WakesAParkedReader) {
  test::run([] {
    for (int i = 0; i < 300; ++i) {
      TcpPair pair = make_tcp_pair();
      Task reader([&] { EXPECT_EQ(read_error(*pair.server), Errc::closed); });
      if (i % 2 == 0) reader.wait_until_parked();
      pair.server->close();
      reader.join();
      EXPECT_EQ(read_all(*pair.client), "");
    }
  });
}

TEST(TcpCloseLocal, WakesAReaderParkedAfterAShortRead) {
  test::run([] {
    for (int i = 0; i < 200; ++i) {
      TcpPair pair = make_tcp_pair();
      ASSERT_TRUE(pair.client->write_all("x"));
      Task reader([&] {
        EXPECT_EQ(read_exactly(*pair.server, 1, 100), "x");
        EXPECT_EQ(read_error(*pair.server), Errc::closed);
      });
      reader.wait_until_parked();
      pair.server->close();
      reader.join();
    }
  });
}

TEST(TcpCloseLocal, WakesAParkedWriter) {
  test::run([] {
    for (int i = 0; i < 50; ++i) {
      TcpPair pair = make_tcp_pair({.send_buffer = 4096, .receive_buffer = 4096});
      const std::string text = pattern(1 << 20);
      Task writer([&] {
        const auto wrote = pair.client->write_all(text);
        EXPECT_EQ(wrote.error, Errc::closed);
        EXPECT_LT(wrote.written, text.size());
      });
      writer.wait_until_parked();
      pair.client->close();
      writer.join();
    }
  });
}

TEST(TcpCloseLocal, WakesReaderAndWriterAtOnce) {
  test::run([] {
    TcpPair pair = make_tcp_pair({.send_buffer = 4096, .receive_buffer = 4096});
    Task reader([&] { EXPECT_EQ(read_error(*pair.client), Errc::closed); });
    Task writer([&] { EXPECT_EQ(pair.client->write_all(pattern(1 << 20)).error, Errc::closed); });
    reader.wait_until_parked();
    writer.wait_until_parked();
    pair.client->close();
  });
}

TEST(TcpCloseLocal, WakesWaitReadable) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    Task waiter([&] { EXPECT_EQ(pair.server->wait_readable().error(), Errc::closed); });
    waiter.wait_until_parked();
    pair.server->close();
  });
}

TEST(TcpCloseLocal, BytesWrittenBeforeAreDelivered) {
  test::run([] {
    for (int i = 0; i < 200; ++i) {
      TcpPair pair = make_tcp_pair();
      const std::string text = pattern(5000);
      ASSERT_TRUE(pair.server->write_all(text));
      pair.server->close();
      ASSERT_TRUE(read_all(*pair.client) == text);
    }
  });
}

TEST(TcpCloseLocal, RacesWithReadsWithoutHarm) {
  test::run([] {
    for (int i = 0; i < 500; ++i) {
      TcpPair pair = make_tcp_pair();
      Task reader([&] {
        std::string buffer(100, '\0');
        for (;;) {
          const auto n = pair.server->read(writable(buffer));
          if (n) continue;
          EXPECT_EQ(n.error(), Errc::closed);
          return;
        }
      });
      Task writer([&] {
        for (int k = 0; k < 20; ++k)
          if (!pair.client->write_all("x")) return;
      });
      for (int k = 0; k < i % 8; ++k) gosched();
      pair.server->close();
    }
  });
}

TEST(TcpCloseListener, WakesAParkedAccept) {
  test::run([] {
    for (int i = 0; i < 200; ++i) {
      Listener listener = make_listener();
      Task acceptor([&] { EXPECT_EQ(listener.accept().error(), Errc::closed); });
      if (i % 2 == 0) acceptor.wait_until_parked();
      listener.close();
      acceptor.join();
      EXPECT_EQ(listener.accept().error(), Errc::closed);
      EXPECT_EQ(listener.try_accept().error(), Errc::closed);
    }
  });
}

// A connection that was closed and is still held must not act on what came after it under the same
// descriptor number, or in the same place of the poller's.
TEST(TcpCloseReuse, ClosedConnNeverTouchesItsSuccessor) {
  test::run([] {
    for (int i = 0; i < 200; ++i) {
      auto old = std::make_unique<TcpPair>(make_tcp_pair());
      old->client->close();
      old->server->close();
      TcpPair fresh = make_tcp_pair();
      ASSERT_TRUE(fresh.client->write_all("new"));
      EXPECT_EQ(read_error(*old->server), Errc::closed);
      EXPECT_EQ(read_error(*old->client), Errc::closed);
      EXPECT_EQ(old->server->write_all("x").error, Errc::closed);
      old->server->set_deadline(Deadline::after(std::chrono::seconds(-1)));
      old->client->set_deadline(Deadline::after(std::chrono::milliseconds(1)));
      old->server->close();
      old.reset();
      ASSERT_EQ(read_exactly(*fresh.server, 3, 100), "new");
      ASSERT_TRUE(fresh.server->write_all("answer"));
      ASSERT_EQ(read_exactly(*fresh.client, 6, 100), "answer");
    }
  });
}

// The kernel gives the lowest free number, so each round reuses the numbers of the one before,
// while events of the old connection may still be under way. None may reach the new one: its
// reader would take the end of a stream, or find no data and lose nothing, or hang.
TEST(TcpCloseReuse, LateEventsNeverReachAStranger) {
  test::run([] {
    for (int i = 0; i < 500; ++i) {
      TcpPair old = make_tcp_pair();
      Task reader([&] { EXPECT_NE(read_error(*old.server), Errc::timed_out); });
      if (i % 2 == 0) reader.wait_until_parked();
      ASSERT_TRUE(old.client->write_all("for the old one"));
      old.client->close();  // an edge for old.server: data, then the end
      old.server->close();
      reader.join();

      TcpPair fresh = make_tcp_pair();
      EXPECT_FALSE(fresh.server->peer_closed()) << "round " << i;
      Task echo([&] { EXPECT_EQ(read_exactly(*fresh.server, 3, 100), "new"); });
      ASSERT_TRUE(fresh.client->write_all("new"));
      echo.join();
      ASSERT_FALSE(fresh.server->peer_closed()) << "round " << i;
    }
  });
}

TEST(TcpCloseReuse, ManyConnectionsOpenAndCloseWhileOthersWork) {
  test::run([] {
    Listener listener = make_listener();
    Task server([&] {
      for (;;) {
        auto conn = listener.accept();
        if (!conn) return;
        go([c = std::shared_ptr(std::move(*conn))] {
          std::string buffer(100, '\0');
          for (;;) {
            const auto n = c->read(writable(buffer));
            if (!n || *n == 0) return;
            if (!c->write_all(std::string_view(buffer).substr(0, *n))) return;
          }
        });
      }
    });
    {
      std::vector<std::unique_ptr<Task>> clients;
      clients.reserve(8);
      for (unsigned i = 0; i < 8; ++i)
        clients.push_back(std::make_unique<Task>([&, i] {
          for (unsigned round = 0; round < 40; ++round) {
            auto conn = dial_tcp(listener.address());
            ASSERT_TRUE(conn) << conn.error().message();
            const std::string text = pattern(20, i * 1000 + round);
            ASSERT_TRUE((*conn)->write_all(text));
            if (round % 3 == 0) continue;  // away without reading: the server gets a reset
            ASSERT_EQ(read_exactly(**conn, text.size(), 100), text);
          }
        }));
      for (auto& client : clients) client->join();
    }
    listener.close();
  });
}

}  // namespace
}  // namespace treadle::net
