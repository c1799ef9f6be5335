// One Context for the requests of a connection, as long as nobody could tell.
#include "connection_context.h"

#include <gtest/gtest.h>

#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"
#include "support/stub_conn.h"

namespace treadle::http::detail {
namespace {

using namespace std::chrono_literals;

// Has a handle on the context that it watches for, as a poll descriptor has.
class WatchingConn final : public test::InertConn {
 public:
  Result<std::size_t> read(std::span<std::byte>) override { return 0; }
  net::WriteResult write_all(std::span<const iovec>) override { return {}; }
  void watch_peer(const Context& ctx) override {
    watched = ctx;
    if (gone) CancelFunc{ctx}();
  }

  Context watched;
  bool gone = false;
};

struct Fixture {
  CancelableContext server = with_cancel(background());
  WatchingConn conn;
  ConnectionContext context{server.context};

  void request() {
    context.begin(Deadline::never());
    context.end();
  }
};

TEST(ConnectionContext, ServesRequestsThatNobodyCouldTellApart) {
  test::run([] {
    Fixture f;
    const void* const first = f.context.get().state();
    f.request();
    f.context.watch(f.conn);
    f.request();
    f.request();
    EXPECT_EQ(f.context.get().state(), first);
    EXPECT_FALSE(f.context.get().done());
  });
}

TEST(ConnectionContext, StatesTheDeadlineOfEachRequest) {
  test::run([] {
    Fixture f;
    const Deadline late = Deadline::after(1h);
    f.context.begin(late);
    EXPECT_EQ(f.context.get().deadline(), late);
    f.context.end();
    f.context.begin(Deadline::never());
    EXPECT_TRUE(f.context.get().deadline().is_never());
  });
}

TEST(ConnectionContext, EndsForWhoeverKeepsAHandle) {
  test::run([] {
    for (const bool watched : {false, true}) {
      Fixture f;
      if (watched) f.context.watch(f.conn);
      f.context.begin(Deadline::never());
      const Context kept = f.context.get();
      f.context.end();
      EXPECT_EQ(kept.error(), treadle::Errc::canceled);
      EXPECT_NE(f.context.get(), kept);
      EXPECT_FALSE(f.context.get().done());
      if (watched) {
        EXPECT_EQ(f.conn.watched, f.context.get());
      }
    }
  });
}

TEST(ConnectionContext, EndsForChildrenAndStartsWhatWaits) {
  test::run([] {
    Fixture f;
    f.context.watch(f.conn);
    const Context child = with_cancel(f.context.get()).context;
    f.request();
    EXPECT_EQ(child.error(), treadle::Errc::canceled);
    auto called = make_chan<int>();
    (void)after_func(f.context.get(), [called] { called.send(1); });
    f.request();
    EXPECT_EQ(called.recv(), 1);
    EXPECT_FALSE(f.context.get().done());
  });
}

TEST(ConnectionContext, EndsWithTheServersAndWithThePeer) {
  test::run([] {
    Fixture f;
    f.context.watch(f.conn);
    CancelFunc{f.conn.watched}();
    f.conn.gone = true;
    EXPECT_TRUE(f.context.get().done());
    f.request();
    EXPECT_TRUE(f.context.get().done()) << "the peer comes back for the next request";
    f.conn.gone = false;
    f.request();
    EXPECT_FALSE(f.context.get().done());
    f.server.cancel();
    EXPECT_TRUE(f.context.get().done());
    f.request();
    EXPECT_TRUE(f.context.get().done());
  });
}

TEST(ConnectionContext, CancelIsForThoseThatFollowToo) {
  test::run([] {
    Fixture f;
    f.context.cancel(std::make_error_code(std::errc::broken_pipe));
    EXPECT_EQ(f.context.get().cause(), std::errc::broken_pipe);
    f.request();
    EXPECT_EQ(f.context.get().error(), treadle::Errc::canceled);
  });
}

// A cancel() from elsewhere finds the old one or the new one, never a gap between them.
TEST(ConnectionContext, CancelWhileARequestEndsIsNotLost) {
  test::run([] {
    for (int i = 0; i < 3000; ++i) {
      Fixture f;
      f.context.watch(f.conn);
      Context kept = f.context.get();
      WaitGroup done;
      done.add(1);
      go([&] {
        f.context.cancel();
        done.done();
      });
      if (i % 2 == 0) gosched();
      f.request();
      done.wait();
      ASSERT_TRUE(kept.done());
      ASSERT_TRUE(f.context.get().done()) << "round " << i;
    }
  });
}

}  // namespace
}  // namespace treadle::http::detail
