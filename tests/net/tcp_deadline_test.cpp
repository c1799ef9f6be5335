#include <gtest/gtest.h>

#include <treadle/go.h>
#include <treadle/net/tcp.h>
#include <chrono>

#include "net/net_fixture.h"
#include "support/goroutine.h"

namespace treadle::net {
namespace {

using namespace std::chrono_literals;
using test::fill;
using test::make_tcp_pair;
using test::pattern;
using test::read_error;
using test::read_exactly;
using test::Task;
using test::TcpPair;
using test::writable;

TEST(TcpDeadlineRead, PastOneFailsAtOnceEvenWithBytesThere) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    ASSERT_TRUE(pair.client->write_all("x"));
    pair.server->set_read_deadline(Deadline::after(-1s));
    EXPECT_EQ(read_error(*pair.server), Errc::timed_out);
    pair.server->set_read_deadline(Deadline::never());
    EXPECT_EQ(read_exactly(*pair.server, 1), "x");
  });
}

TEST(TcpDeadlineRead, FutureOneEndsTheWaitAndNotBefore) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    const auto limit = Deadline::after(30ms);
    pair.server->set_read_deadline(limit);
    EXPECT_EQ(read_error(*pair.server), Errc::timed_out);
    EXPECT_TRUE(limit.passed());
    EXPECT_EQ(read_error(*pair.server), std::errc::timed_out) << "it stays passed";
  });
}

TEST(TcpDeadlineRead, AlsoAfterAShortRead) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    ASSERT_TRUE(pair.client->write_all("x"));
    EXPECT_EQ(read_exactly(*pair.server, 1), "x");
    pair.server->set_read_deadline(Deadline::after(20ms));
    EXPECT_EQ(read_error(*pair.server), Errc::timed_out);
    pair.server->set_read_deadline(Deadline::never());
    ASSERT_TRUE(pair.client->write_all("y"));
    EXPECT_EQ(read_exactly(*pair.server, 1, 100), "y");
  });
}

TEST(TcpDeadlineRead, MovedEarlierWhileWaitingEndsIt) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    pair.server->set_read_deadline(Deadline::after(1h));
    Task reader([&] { EXPECT_EQ(read_error(*pair.server), Errc::timed_out); });
    reader.wait_until_parked();
    pair.server->set_read_deadline(Deadline::after(10ms));
    reader.join();
  });
}

TEST(TcpDeadlineRead, SetIntoThePastWhileWaitingEndsItAtOnce) {
  test::run([] {
    for (int i = 0; i < 200; ++i) {
      TcpPair pair = make_tcp_pair();
      Task reader([&] { EXPECT_EQ(read_error(*pair.server), Errc::timed_out); });
      if (i % 2 == 0) reader.wait_until_parked();
      pair.server->set_read_deadline(Deadline::after(-1s));
      reader.join();
    }
  });
}

TEST(TcpDeadlineRead, MovedLaterWhileWaitingHoldsTheLaterOne) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    pair.server->set_read_deadline(Deadline::after(20ms));
    Deadline later;
    Task reader([&] {
      EXPECT_EQ(read_error(*pair.server), Errc::timed_out);
      EXPECT_TRUE(later.passed());
    });
    later = Deadline::after(80ms);
    pair.server->set_read_deadline(later);
    reader.join();
  });
}

TEST(TcpDeadlineRead, ClearedWhileWaitingWaitsForBytes) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    const auto first = Deadline::after(30ms);
    pair.server->set_read_deadline(first);
    Task reader([&] { EXPECT_EQ(read_exactly(*pair.server, 1), "x"); });
    reader.wait_until_parked();
    pair.server->set_read_deadline(Deadline::never());
    EXPECT_TRUE(sleep_until(first));
    EXPECT_TRUE(sleep(10ms));
    EXPECT_FALSE(reader.done());
    ASSERT_TRUE(pair.client->write_all("x"));
    reader.join();
  });
}

TEST(TcpDeadlineRead, MovedOftenWhileBytesFlowNeverStrikes) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    Task reader([&] {
      for (int i = 0; i < 1000; ++i) {
        pair.server->set_read_deadline(Deadline::after(test::patience()));
        ASSERT_EQ(read_exactly(*pair.server, 1, 10).size(), 1u);
      }
    });
    Task mover([&] {
      while (!reader.done()) {
        pair.server->set_read_deadline(Deadline::after(test::patience()));
        gosched();
      }
    });
    for (int i = 0; i < 1000; ++i) {
      ASSERT_TRUE(pair.client->write_all("x"));
      if (i % 7 == 0) gosched();
    }
  });
}

TEST(TcpDeadlineWrite, EndsAWaitForRoomAndSaysHowMuchLeft) {
  test::run([] {
    TcpPair pair = make_tcp_pair({.send_buffer = 4096, .receive_buffer = 4096});
    const std::string text = pattern(10 << 20);
    pair.client->set_write_deadline(Deadline::after(50ms));
    const auto wrote = pair.client->write_all(text);
    EXPECT_EQ(wrote.error, Errc::timed_out);
    EXPECT_GT(wrote.written, 0u);
    EXPECT_LT(wrote.written, text.size());
    EXPECT_TRUE(read_exactly(*pair.server, wrote.written) == text.substr(0, wrote.written));
  });
}

TEST(TcpDeadlineWrite, SetIntoThePastWhileWaitingEndsItAtOnce) {
  test::run([] {
    TcpPair pair = make_tcp_pair({.send_buffer = 4096, .receive_buffer = 4096});
    fill(*pair.client);
    Task writer([&] {
      const std::string text = pattern(1 << 20);
      const auto wrote = pair.client->write_all(text);
      EXPECT_EQ(wrote.error, Errc::timed_out);
      EXPECT_LT(wrote.written, text.size());
    });
    writer.wait_until_parked();
    pair.client->set_write_deadline(Deadline::after(-1s));
    writer.join();
  });
}

TEST(TcpDeadlineSides, AreIndependent) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    pair.server->set_read_deadline(Deadline::after(-1s));
    EXPECT_TRUE(pair.server->write_all("still writing"));
    EXPECT_EQ(read_exactly(*pair.client, 13), "still writing");
    pair.server->set_read_deadline(Deadline::never());
    pair.server->set_write_deadline(Deadline::after(-1s));
    EXPECT_EQ(pair.server->write_all("x").error, Errc::timed_out);
    ASSERT_TRUE(pair.client->write_all("still reading"));
    EXPECT_EQ(read_exactly(*pair.server, 13), "still reading");
  });
}

TEST(TcpDeadlineSides, SetDeadlineSetsBoth) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    pair.server->set_deadline(Deadline::after(-1s));
    EXPECT_EQ(read_error(*pair.server), Errc::timed_out);
    EXPECT_EQ(pair.server->write_all("x").error, Errc::timed_out);
  });
}

TEST(TcpDeadlineWaitReadable, EndsIt) {
  test::run([] {
    TcpPair pair = make_tcp_pair();
    pair.server->set_read_deadline(Deadline::after(20ms));
    const auto r = pair.server->wait_readable();
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error(), Errc::timed_out);
  });
}

}  // namespace
}  // namespace treadle::net
