#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <treadle/chan.h>
#include <treadle/dump.h>
#include <treadle/labels.h>
#include <treadle/os_thread.h>
#include <treadle/runtime.h>
#include <treadle/signals.h>
#include <treadle/task.h>
#include <treadle/uncaught.h>

#include "runtime/sanitizer.h"
#include "support/goroutine.h"

namespace treadle {
namespace {

using namespace std::chrono_literals;
using test::Task;

// In frames of its own, so that its name stands in the stack.
[[gnu::noinline]] void wait_in_here(const Chan<int>& gate) {
  (void)gate.recv();
  asm volatile("");
}
[[gnu::noinline]] void hog_in_here(const std::atomic<bool>* stop) {
  while (!stop || !*stop) asm volatile("");
}
[[gnu::noinline]] void throw_in_here() { throw std::runtime_error("the reason"); }

// The block of one goroutine.
std::string block(const std::string& dump, std::uint64_t id) {
  const auto at = dump.find("goroutine " + std::to_string(id) + " [");
  if (at == std::string::npos) return {};
  return dump.substr(at, dump.find("\n\n", at) - at);
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

TEST(DumpStack, OfAParkedOneNamesFunctionsAndLines) {
  test::run([] {
    auto gate = make_chan<int>();
    std::atomic<std::uint64_t> id{0};
    Task parked([&] {
      id = goroutine_id();
      wait_in_here(gate);
    });
    parked.wait_until_parked();
    const std::string text = block(goroutine_dump(), id);
    EXPECT_TRUE(has(text, "[chan receive, ")) << text;
    EXPECT_TRUE(has(text, "wait_in_here")) << text;
    EXPECT_TRUE(has(text, "dump_test.cpp:")) << text;
    EXPECT_TRUE(has(text, "created at ")) << text;
    EXPECT_TRUE(has(text, " by goroutine " + std::to_string(goroutine_id()))) << text;
    EXPECT_FALSE(has(text, "gopark")) << text;
    gate.close();
  });
}

TEST(DumpStack, OfTheCallerIsItsOwn) {
  test::run([] {
    const std::string text = block(goroutine_dump(), goroutine_id());
    EXPECT_TRUE(has(text, "[running")) << text;
    EXPECT_TRUE(has(text, "dump_test.cpp:")) << text;
  });
}

TEST(DumpStack, OfOneThatRunsIsItsLastEntry) {
  test::run([] {
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> id{0};
    Task hog([&] {
      id = goroutine_id();
      (void)runtime_stats();
      hog_in_here(&stop);
    });
    while (id == 0) gosched();
    while (!has(block(goroutine_dump(), id), "it last called treadle from")) gosched();
    const std::string text = block(goroutine_dump(), id);
    EXPECT_TRUE(has(text, "[running") || has(text, "[detached")) << text;
    stop = true;
  });
}

TEST(DumpStack, OfManyWhileTheyRun) {
  test::run([] {
    std::atomic<bool> stop{false};
    std::vector<std::unique_ptr<Task>> tasks;
    for (int i = 0; i < 20; ++i) {
      auto there = make_chan<int>(), back = make_chan<int>();
      tasks.push_back(std::make_unique<Task>([&, there, back] {
        while (!stop) {
          there.send(1);
          (void)back.recv();
        }
        there.close();
      }));
      tasks.push_back(std::make_unique<Task>([there, back] {
        while (there.recv()) back.send(2);
      }));
    }
    std::size_t walked = 0;
    for (int i = 0; i < 20 || walked == 0; ++i) {
      const std::string text = goroutine_dump();
      for (std::size_t at = 0; (at = text.find("dump_test.cpp", at)) != text.npos; ++at) ++walked;
      gosched();
    }
    stop = true;
  });
}

TEST(DumpHeader, ShowsNameAndLabels) {
  test::run([] {
    auto gate = make_chan<int>();
    LabelScope scope{{"tenant", "a"}};
    auto named =
        spawn([gate] { (void)gate.recv(); }, {.name = "odd\n\"name\"", .labels = {{"shard", "7"}}});
    gosched();
    EXPECT_TRUE(has(goroutine_dump({.stacks = false}), "\"odd?\"name\"\" {shard=7, tenant=a}:\n"));
    set_goroutine_name(std::string(1000, 'x'));
    EXPECT_TRUE(has(goroutine_dump({.stacks = false}), "xxx...:\n"));
    gate.close();
    named.join();
  });
}

TEST(DumpOutput, GoesToAFunctionInPieces) {
  test::run([] {
    std::string all;
    dump_goroutines([&](std::string_view piece) { all += piece; }, {.stacks = false});
    EXPECT_TRUE(has(all, "goroutine " + std::to_string(goroutine_id()) + " [running"));
    EXPECT_TRUE(all.ends_with(" goroutines\n"));
  });
}

TEST(DumpInfo, TellsWhatIsThere) {
  test::run([] {
    auto gate = make_chan<int>();
    Task parked([&] { (void)gate.recv(); });
    parked.wait_until_parked();
    int found = 0;
    for (const GoroutineInfo& g : goroutines()) {
      if (g.id == goroutine_id()) {
        EXPECT_EQ(g.state, "running");
        EXPECT_EQ(g.waits_for, "");
        ++found;
      } else if (g.parent == goroutine_id()) {
        EXPECT_EQ(g.state, "waiting");
        EXPECT_EQ(g.waits_for, "chan receive");
        EXPECT_TRUE(has(g.created.file_name(), "dump_test.cpp"));
        ++found;
      }
    }
    EXPECT_EQ(found, 2);
    gate.close();
  });
}

TEST(DumpPlainThread, MayAskToo) {
  auto gate = make_chan<int>();
  auto parked = spawn([gate] { wait_in_here(gate); });
  std::thread([&] {
    while (!has(goroutine_dump(), "wait_in_here")) std::this_thread::yield();
  }).join();
  gate.close();
  parked.join();
}

class DumpDeathTest : public ::testing::Test {
 protected:
  DumpDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(DumpDeathTest, QuitShowsAllAndEndsWithTwo) {
  EXPECT_EXIT(run({.max_procs = 2},
                  [] {
                    ::alarm(60);
                    auto gate = make_chan<int>();
                    go([gate] { wait_in_here(gate); });
                    while (!has(goroutine_dump(), "wait_in_here")) gosched();
                    // Not for ever, which would be a deadlock that may be reported first.
                    go([] { ::kill(::getpid(), SIGQUIT); });
                    (void)treadle::sleep(1min);
                  }),
              ::testing::ExitedWithCode(2),
              "SIGQUIT: quit(.|\n)*chan receive(.|\n)*wait_in_here(.|\n)* goroutines");
}

#if !TREADLE_TSAN
// ThreadSanitizer puts handlers off for as long as a thread calls nothing.
TEST_F(DumpDeathTest, QuitShowsThoseThatOnlyCompute) {
  EXPECT_EXIT(
      {
        static std::atomic<int> hogs{0};
        std::thread([] {
          while (hogs < 4) std::this_thread::yield();
          ::kill(::getpid(), SIGQUIT);
        }).detach();
        run({.max_procs = 2}, [] {
          ::alarm(60);
          const auto hog = [] {
            ++hogs;
            hog_in_here(nullptr);
          };
          for (int i = 0; i < 3; ++i) go(hog);
          hog();
        });
      },
      ::testing::ExitedWithCode(2), "SIGQUIT: quit(.|\n)*hog_in_here(.|\n)* goroutines");
}
#endif

TEST_F(DumpDeathTest, QuitIsTheProgramsWhenItWantsIt) {
  EXPECT_EXIT(
      {
        ::signal(SIGQUIT, [](int) { ::_exit(7); });
        run([] {
          ::kill(::getpid(), SIGQUIT);
          (void)sleep(60s);
        });
      },
      ::testing::ExitedWithCode(7), "");
  EXPECT_EXIT(run([] {
                SignalSet quit({SIGQUIT});
                ::kill(::getpid(), SIGQUIT);
                if (quit.wait() == SIGQUIT) ::_exit(8);
              }),
              ::testing::ExitedWithCode(8), "");
}

TEST_F(DumpDeathTest, UncaughtExceptionShowsWhereItWasThrown) {
  EXPECT_DEATH(
      run([] {
        go([] { throw_in_here(); }, {.name = "thrower"});
        (void)Chan<int>().recv();
      }),
      "an exception left a goroutine: std::runtime_error: the reason\n"
      "goroutine [0-9]+ \"thrower\", created at .*dump_test.cpp:[0-9]+ in .*by goroutine 1\n"
      "(.|\n)*throw_in_here");
  EXPECT_DEATH(run([] {
                 go([] { throw 5; });
                 (void)Chan<int>().recv();
               }),
               "an exception left a goroutine: int\n");
  EXPECT_DEATH(run([] { std::terminate(); }), "std::terminate was called in a goroutine");
}

TEST_F(DumpDeathTest, MainThatReturnsMeanwhileDoesNotHideIt) {
  EXPECT_DEATH(
      {
        run([] {
          static std::atomic<bool> asked{false};
          set_uncaught_exception_hook([](const UncaughtException&) {
            asked = true;
            return UncaughtAction::end_process;
          });
          go([] { throw_in_here(); });
          while (!asked) gosched();
        });
        ::_exit(0);
      },
      "an exception left a goroutine: std::runtime_error: the reason");
}

TEST_F(DumpDeathTest, HookIsAskedFirst) {
  EXPECT_DEATH(run([] {
                 set_uncaught_exception_hook([](const UncaughtException& what) {
                   std::fprintf(stderr, "hook: %s in %s", what.name.c_str(), what.stack.c_str());
                   return UncaughtAction::end_process;
                 });
                 go([] { throw_in_here(); }, {.name = "thrower"});
                 (void)Chan<int>().recv();
               }),
               "hook: thrower in (.|\n)*throw_in_here(.|\n)*an exception left a goroutine");
}

TEST_F(DumpDeathTest, HookMayEndJustTheGoroutine) {
  EXPECT_EXIT(run([] {
                static std::atomic<int> asked{0};
                set_uncaught_exception_hook([](const UncaughtException& what) {
                  try {
                    std::rethrow_exception(what.exception);
                  } catch (const std::runtime_error&) {
                    ++asked;
                  }
                  gosched();
                  return UncaughtAction::end_goroutine;
                });
                const auto before = runtime_stats().goroutines;
                for (int i = 0; i < 20; ++i) {
                  go([i] {
                    if (i % 10 == 0) lock_os_thread();
                    try {
                      throw 1;
                    } catch (int) {
                      throw_in_here();
                    }
                  });
                  gosched();
                  EXPECT_FALSE(std::current_exception());
                }
                while (asked != 20 || runtime_stats().goroutines != before) gosched();
                std::_Exit(::testing::Test::HasFailure() ? 1 : 3);
              }),
              ::testing::ExitedWithCode(3), "");
}

TEST_F(DumpDeathTest, DeadlockShowsStacks) {
  EXPECT_EXIT(run([] { wait_in_here(make_chan<int>()); }), ::testing::ExitedWithCode(2),
              "deadlock(.|\n)*wait_in_here");
}

[[gnu::noinline]] int descend_in_here(int n) {
  volatile char frame[256];
  frame[0] = static_cast<char>(n);
  return n < 0 ? 0 : descend_in_here(n + 1) + frame[0];
}

TEST_F(DumpDeathTest, OverflowShowsBothEndsOfTheStack) {
  EXPECT_DEATH(run([] { (void)descend_in_here(0); }),
               "stack overflow(.|\n)*descend_in_here(.|\n)*frames more(.|\n)*dump_test.cpp");
}

}  // namespace
}  // namespace treadle
