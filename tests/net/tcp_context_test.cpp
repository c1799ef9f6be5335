#include <gtest/gtest.h>

#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/net/tcp.h>
#include <chrono>

#include "net/net_fixture.h"
#include "support/goroutine.h"

namespace treadle::net {
namespace {

using namespace std::chrono_literals;
using test::make_listener;
using test::make_tcp_pair;
using test::pattern;
using test::read_error;
using test::read_exactly;
using test::Task;
using test::TcpPair;
using test::writable;

TEST(TcpContextRead, CancelledBeforeTakesNothing) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    ASSERT_TRUE(pair.client->write_all("x"));
    {
      const auto [ctx, cancel] = with_cancel(background());
      const ContextScope scope(ctx);
      cancel();
      EXPECT_EQ(read_error(*pair.server), Errc::canceled);
      EXPECT_EQ(pair.server->write_all("y").error, Errc::canceled);
      EXPECT_EQ(pair.server->wait_readable().error(), Errc::canceled);
    }
    EXPECT_EQ(read_exactly(*pair.server, 1), "x");
  });
}

TEST(TcpContextRead, CancelWakesAParkedReader) {
  test::run([] {
    for (int i = 0; i < 300; ++i) {
      TcpPair pair = make_tcp_pair();
      const auto cancelable = with_cancel(background());
      Task reader([&] {
        const ContextScope scope(cancelable.context);
        EXPECT_EQ(read_error(*pair.server), Errc::canceled);
      });
      if (i % 2 == 0) reader.wait_until_parked();
      cancelable.cancel();
      reader.join();
      // The connection is whole.
      ASSERT_TRUE(pair.client->write_all("after"));
      ASSERT_EQ(read_exactly(*pair.server, 5, 100), "after");
    }
  });
}

TEST(TcpContextRead, CancelWakesAReaderParkedAfterAShortRead) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    const auto cancelable = with_cancel(background());
    ASSERT_TRUE(pair.client->write_all("x"));
    Task reader([&] {
      const ContextScope scope(cancelable.context);
      EXPECT_EQ(read_exactly(*pair.server, 1, 100), "x");
      EXPECT_EQ(read_error(*pair.server), Errc::canceled);
    });
    reader.wait_until_parked();
    cancelable.cancel();
    reader.join();
    ASSERT_TRUE(pair.client->write_all("after"));
    EXPECT_EQ(read_exactly(*pair.server, 5, 100), "after");
  });
}

TEST(TcpContextRead, TimeoutEndsIt) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    const auto limited = with_timeout(background(), 20ms);
    const ContextScope scope(limited.context);
    EXPECT_EQ(read_error(*pair.server), Errc::timed_out);
    EXPECT_TRUE(limited.context.done());
  });
}

TEST(TcpContextRead, RacesWithBytesAndLosesNone) {
  test::run([] {
    for (int i = 0; i < 300; ++i) {
      TcpPair pair = make_tcp_pair();
      const auto cancelable = with_cancel(background());
      std::size_t got = 0;
      Task reader([&] {
        const ContextScope scope(cancelable.context);
        std::string buffer(100, '\0');
        const auto n = pair.server->read(writable(buffer));
        if (n)
          got = *n;
        else
          EXPECT_EQ(n.error(), Errc::canceled);
      });
      if (i % 3 == 0) reader.wait_until_parked();
      Task canceller([&] { cancelable.cancel(); });
      ASSERT_TRUE(pair.client->write_all("five!"));
      reader.join();
      // What the reader did not get is still there.
      ASSERT_EQ(read_exactly(*pair.server, 5 - got, 100).size(), 5 - got);
    }
  });
}

TEST(TcpContextWrite, CancelEndsAWaitForRoomAndSaysHowMuchLeft) {
  test::run([] {
    TcpPair pair = make_tcp_pair({.send_buffer = 4096, .receive_buffer = 4096});
    const auto cancelable = with_cancel(background());
    const std::string text = pattern(4 << 20);
    WriteResult wrote;
    Task writer([&] {
      const ContextScope scope(cancelable.context);
      wrote = pair.client->write_all(text);
    });
    writer.wait_until_parked();
    cancelable.cancel();
    writer.join();
    EXPECT_EQ(wrote.error, Errc::canceled);
    EXPECT_GT(wrote.written, 0u);
    EXPECT_TRUE(read_exactly(*pair.server, wrote.written) == text.substr(0, wrote.written));
  });
}

TEST(TcpContextIgnored, CallsObeyDeadlinesOnly) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    pair.server->ignore_context();
    const auto [ctx, cancel] = with_cancel(background());
    const ContextScope scope(ctx);
    cancel();
    EXPECT_TRUE(pair.server->write_all("the answer after the end"));
    pair.server->set_read_deadline(Deadline::after(10ms));
    EXPECT_EQ(read_error(*pair.server), Errc::timed_out);
  });
}

TEST(TcpContextAccept, CancelWakesAParkedAccept) {
  test::run([] {
    for (int i = 0; i < 100; ++i) {
      Listener listener = make_listener();
      const auto cancelable = with_cancel(background());
      Task acceptor([&] {
        const ContextScope scope(cancelable.context);
        EXPECT_EQ(listener.accept().error(), Errc::canceled);
      });
      if (i % 2 == 0) acceptor.wait_until_parked();
      cancelable.cancel();
      acceptor.join();
    }
  });
}

TEST(TcpContextAccept, TimeoutEndsItAndTheListenerGoesOn) {
  test::run([] {
    Listener listener = make_listener();
    {
      const auto limited = with_timeout(background(), 10ms);
      const ContextScope scope(limited.context);
      EXPECT_EQ(listener.accept().error(), Errc::timed_out);
    }
    auto client = dial_tcp(listener.address());
    ASSERT_TRUE(client);
    EXPECT_TRUE(listener.accept());
  });
}

}  // namespace
}  // namespace treadle::net
