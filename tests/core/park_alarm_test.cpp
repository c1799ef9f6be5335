// Timers that go off when a goroutine parks.
#include <treadle/detail/park_alarm.h>

#include <gtest/gtest.h>

#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/mutex.h>
#include <treadle/timer.h>

#include <atomic>
#include <functional>
#include <mutex>

#include "support/goroutine.h"

namespace treadle {
namespace {

using detail::set_park_alarm;
using namespace std::chrono_literals;

// Off until somebody parks over it.
Timer make_alarm(std::function<void()> f) {
  Timer t = after_func(1h, std::move(f));
  t.stop();
  return t;
}

TEST(ParkAlarm, GoesOffWhenItsGoroutineWaitsOnAChannel) {
  test::run([] {
    auto rang = make_chan<int>();
    const Timer alarm = make_alarm([rang] { rang.send(1); });
    for (int i = 0; i < 100; ++i) {
      set_park_alarm(&alarm);
      EXPECT_EQ(rang.recv(), 1);
    }
  });
}

TEST(ParkAlarm, GoesOffWhenItsGoroutineWaitsForALockOrSleeps) {
  test::run([] {
    Mutex m;
    m.lock();
    const Timer unlocks = make_alarm([&m] { m.unlock(); });
    set_park_alarm(&unlocks);
    m.lock();
    m.unlock();

    const CancelableContext wakes = with_cancel(background());
    const Timer cancels = make_alarm([&] { wakes.cancel(); });
    const ContextScope scope(wakes.context);
    set_park_alarm(&cancels);
    EXPECT_EQ(sleep(1h).error(), Errc::canceled);
  });
}

TEST(ParkAlarm, GoesOffOncePerSetting) {
  test::run([] {
    std::atomic<int> rings{0};
    auto rang = make_chan<int>();
    const Timer alarm = make_alarm([&, rang] {
      ++rings;
      rang.send(1);
    });
    set_park_alarm(&alarm);
    rang.recv();
    // It would be started before the goroutine that answers, or right behind it.
    auto asked = make_chan<int>();
    go([asked] { asked.send(1); });
    asked.recv();
    ASSERT_TRUE(sleep(1ms));
    EXPECT_EQ(rings.load(), 1);
  });
}

TEST(ParkAlarm, IsSilentWhileItsGoroutineRunsOrWhenItIsTakenBack) {
  test::run([] {
    std::atomic<int> rings{0};
    const Timer alarm = make_alarm([&] { ++rings; });
    set_park_alarm(&alarm);
    auto room = make_chan<int>(1);
    room.send(1);
    Mutex m;
    {
      const std::lock_guard hold(m);
    }
    for (int i = 0; i < 100; ++i) gosched();
    EXPECT_EQ(rings.load(), 0);
    set_park_alarm(nullptr);
    ASSERT_TRUE(sleep(1ms));
    for (int i = 0; i < 100; ++i) gosched();
    EXPECT_EQ(rings.load(), 0);
  });
}

TEST(ParkAlarm, IsOfOneGoroutine) {
  test::run([] {
    std::atomic<int> rings{0};
    auto done = make_chan<int>();
    const Timer alarm = make_alarm([&] { ++rings; });
    auto parked = make_chan<int>();
    test::Task other([&] { parked.recv(); });
    go([&, done] {
      set_park_alarm(&alarm);
      other.wait_until_parked();
      parked.send(1);
      while (!other.done()) gosched();
      EXPECT_EQ(rings.load(), 0);
      set_park_alarm(nullptr);
      done.send(1);
    });
    done.recv();
    other.join();
  });
}

}  // namespace
}  // namespace treadle
