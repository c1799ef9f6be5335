#include <treadle/one_shot.h>

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <treadle/go.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Task;
using namespace std::chrono_literals;

TEST(OneShotSend, ValueSentBeforeIsThereAtOnce) {
  test::run([] {
    auto [sender, receiver] = make_one_shot<int>();
    EXPECT_FALSE(receiver.ready());
    EXPECT_TRUE(sender.send(7));
    EXPECT_TRUE(receiver.ready());
    EXPECT_EQ(receiver.wait(), 7);
  });
}

TEST(OneShotSend, ParkedReceiverIsWoken) {
  test::run([] {
    auto [sender, receiver] = make_one_shot<std::string>();
    Task waits([&rx = receiver] { EXPECT_EQ(rx.wait(), "hello"); });
    waits.wait_until_parked();
    EXPECT_TRUE(sender.send("hello"));
    waits.join();
  });
}

TEST(OneShotSend, MoveOnlyAndVoidPayloads) {
  test::run([] {
    auto pointer = make_one_shot<std::unique_ptr<int>>();
    EXPECT_TRUE(pointer.sender.send(std::make_unique<int>(3)));
    EXPECT_EQ(**pointer.receiver.wait(), 3);
    auto nothing = make_one_shot<void>();
    EXPECT_TRUE(nothing.sender.send());
    EXPECT_TRUE(nothing.receiver.wait());
  });
}

TEST(OneShotSend, FirstCompletionCounts) {
  test::run([] {
    auto [sender, receiver] = make_one_shot<int>();
    EXPECT_TRUE(sender.send(1));
    EXPECT_FALSE(sender.send(2));
    EXPECT_FALSE(sender.fail(Errc::not_found));
    EXPECT_EQ(receiver.wait(), 1);
    EXPECT_FALSE(sender.send(3));
  });
}

// The bridge: copies in a std::function, called on a thread the runtime has never seen.
TEST(OneShotThread, PlainThreadCompletesACallback) {
  test::run([] {
    std::vector<std::thread> library;
    for (int i = 0; i < 100; ++i) {
      auto [sender, receiver] = make_one_shot<int>();
      std::function<void(int)> callback = [tx = std::move(sender)](int v) { tx.send(v); };
      library.emplace_back([call = std::move(callback), i] { call(i); });
      EXPECT_EQ(receiver.wait(), i);
    }
    for (auto& t : library) t.join();
  });
}

TEST(OneShotThread, PlainThreadWaits) {
  auto [sender, receiver] = make_one_shot<int>();
  std::atomic<int> got{0};
  std::thread waits([&, rx = std::move(receiver)]() mutable { got = rx.wait().value_or(-1); });
  go([tx = std::move(sender)] { tx.send(5); });
  waits.join();
  EXPECT_EQ(got, 5);
}

TEST(OneShotFail, ErrorAndExceptionArrive) {
  test::run([] {
    auto error = make_one_shot<int>();
    EXPECT_TRUE(error.sender.fail(std::make_error_code(std::errc::io_error)));
    EXPECT_EQ(error.receiver.wait().error(), std::errc::io_error);
    auto thrown = make_one_shot<int>();
    EXPECT_TRUE(thrown.sender.fail(std::make_exception_ptr(std::out_of_range("far"))));
    EXPECT_THROW((void)thrown.receiver.wait(), std::out_of_range);
  });
}

TEST(OneShotFail, NothingToFailWithPanics) {
  auto [sender, receiver] = make_one_shot<int>();
  EXPECT_THROW(sender.fail(std::error_code()), Panic);
  EXPECT_THROW(sender.fail(std::exception_ptr()), Panic);
  EXPECT_FALSE(receiver.ready());
}

TEST(OneShotBroken, LastSenderGoneWakesTheReceiver) {
  test::run([] {
    auto pair = make_one_shot<int>();
    auto first = std::make_unique<OneShotSender<int>>(std::move(pair.sender));
    auto second = std::make_unique<OneShotSender<int>>(*first);
    Task waits([&] { EXPECT_EQ(pair.receiver.wait().error(), Errc::broken); });
    waits.wait_until_parked();
    first.reset();
    EXPECT_FALSE(waits.done());
    EXPECT_FALSE(pair.receiver.ready());
    second.reset();
    waits.join();
    EXPECT_TRUE(pair.receiver.ready());
  });
}

TEST(OneShotBroken, SenderDroppedOnAPlainThread) {
  test::run([] {
    auto [sender, receiver] = make_one_shot<void>();
    std::thread library([tx = std::move(sender)] {});
    EXPECT_EQ(receiver.wait().error(), Errc::broken);
    library.join();
  });
}

struct CountedValue {
  explicit CountedValue(int* alive) : alive_(alive) { ++*alive_; }
  CountedValue(CountedValue&& o) noexcept : alive_(o.alive_) { ++*alive_; }
  CountedValue& operator=(CountedValue&&) = delete;
  ~CountedValue() { --*alive_; }
  int* alive_;
};

TEST(OneShotAbandoned, ReceiverGoneRefusesTheValueAndDropsIt) {
  int alive = 0;
  auto pair = make_one_shot<CountedValue>();
  {
    const auto gone = std::move(pair.receiver);
    EXPECT_FALSE(pair.sender.abandoned());
  }
  EXPECT_TRUE(pair.sender.abandoned());
  EXPECT_FALSE(pair.sender.send(CountedValue(&alive)));
  EXPECT_EQ(alive, 0);
}

TEST(OneShotAbandoned, ValueNotTakenGoesWithTheReceiver) {
  int alive = 0;
  auto pair = make_one_shot<CountedValue>();
  EXPECT_TRUE(pair.sender.send(CountedValue(&alive)));
  EXPECT_EQ(alive, 1);
  {
    const auto gone = std::move(pair.receiver);
  }
  EXPECT_EQ(alive, 0);
}

TEST(OneShotTake, TryTakeAndASecondTake) {
  test::run([] {
    auto [sender, receiver] = make_one_shot<int>();
    EXPECT_FALSE(receiver.try_take());
    sender.send(4);
    EXPECT_EQ(receiver.try_take().value(), 4);
    EXPECT_THROW((void)receiver.wait(), Panic);
    EXPECT_THROW((void)receiver.try_take(), Panic);
  });
}

TEST(OneShotTake, SecondWaiterPanics) {
  test::run([] {
    auto pair = make_one_shot<int>();
    Task waits([&] { EXPECT_EQ(pair.receiver.wait(), 1); });
    waits.wait_until_parked();
    EXPECT_THROW((void)pair.receiver.wait(), Panic);
    pair.sender.send(1);
    waits.join();
  });
}

TEST(OneShotContext, CancelEndsTheWaitAndTheNextGetsTheValue) {
  test::run([] {
    auto pair = make_one_shot<int>();
    auto [ctx, cancel] = with_cancel(background());
    Task waits([&] { EXPECT_EQ(pair.receiver.wait(ctx).error(), Errc::canceled); });
    waits.wait_until_parked();
    cancel();
    waits.join();
    EXPECT_EQ(pair.receiver.wait(ctx).error(), Errc::canceled);
    EXPECT_TRUE(pair.sender.send(9));
    EXPECT_EQ(pair.receiver.wait(ctx), 9) << "what is there counts before the context";
  });
}

TEST(OneShotContext, DeadlineEndsTheWait) {
  test::run([] {
    auto [sender, receiver] = make_one_shot<int>();
    EXPECT_EQ(receiver.wait(with_timeout(background(), 1ms).context).error(), Errc::timed_out);
  });
}

struct ThrowsOnce {
  explicit ThrowsOnce(bool* t) : throws(t) {}
  ThrowsOnce(ThrowsOnce&& o) : throws(o.throws) {
    if (std::exchange(*throws, false)) throw std::runtime_error("move");
  }
  bool* throws;
};

TEST(OneShotSend, AThrowingMoveCompletesNothing) {
  test::run([] {
    bool throws = false;
    auto [sender, receiver] = make_one_shot<ThrowsOnce>();
    ThrowsOnce value(&throws);
    throws = true;
    EXPECT_THROW(sender.send(std::move(value)), std::runtime_error);
    EXPECT_FALSE(receiver.ready());
    EXPECT_TRUE(sender.send(std::move(value)));
    EXPECT_TRUE(receiver.wait());
  });
}

// Completion, cancellation, the sender's end and the receiver's, all at once: one outcome, no leak.
TEST(OneShotRace, EveryOrderOfTheEndsIsSettled) {
  test::run([] {
    int won = 0;
    for (int i = 0; i < 2000; ++i) {
      auto pair = make_one_shot<std::unique_ptr<int>>();
      auto [ctx, cancel] = with_cancel(background());
      WaitGroup wg;
      wg.add(3);
      std::atomic<int> sent{0};
      for (int s = 0; s < 2; ++s)
        go([&, tx = pair.sender] {
          if (tx.send(std::make_unique<int>(1))) ++sent;
          wg.done();
        });
      go([&, stop = cancel] {
        stop();
        wg.done();
      });
      {
        const auto mine = std::move(pair.sender);
      }
      bool got;
      {
        auto rx = std::move(pair.receiver);
        auto r = rx.wait(ctx);
        got = r.has_value();
        EXPECT_TRUE(r || r.error() == Errc::canceled);
      }
      wg.wait();
      EXPECT_LE(sent, 1);
      EXPECT_TRUE(!got || sent == 1);
      won += got;
    }
    RecordProperty("values", won);
  });
}

}  // namespace
}  // namespace treadle
