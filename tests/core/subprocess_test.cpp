#include <treadle/subprocess.h>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <treadle/go.h>
#include <treadle/runtime.h>
#include <treadle/wait_group.h>

#include "child_exit.h"
#include "core/descriptors.h"
#include "runtime/sanitizer.h"
#include "support/goroutine.h"
#include "support/temporary_tree.h"

namespace treadle {
namespace {

using test::Task;
using namespace std::chrono_literals;

Command shell(std::string script) { return {.args = {"sh", "-c", std::move(script)}}; }

// Runs it and gives its output; fails the test when it does not succeed.
std::string text_of(Command c, std::string_view input = {}) {
  const auto out = Subprocess::output(std::move(c), input);
  if (!out) {
    ADD_FAILURE() << out.error().message();
    return {};
  }
  EXPECT_TRUE(out->status.success()) << out->status.to_string() << ": " << out->err;
  return out->out;
}

// No child of ours is left, dead or alive: waitid finds none.
void expect_no_children() {
  const auto limit = Deadline::after(5s);
  siginfo_t info{};
  while (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && !limit.passed()) {
    (void)sleep(1ms);
  }
  EXPECT_EQ(::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT), -1);
}

std::string slurp(const std::string& path) {
  std::ostringstream all;
  all << std::ifstream(path).rdbuf();
  return all.str();
}

TEST(SubprocessExit, CodeSignalAndText) {
  test::run([] {
    auto ok = Subprocess::spawn({.args = {"true"}});
    ASSERT_TRUE(ok);
    EXPECT_TRUE(ok->wait()->success());
    auto three = Subprocess::spawn(shell("exit 3"));
    const auto code = three->wait();
    EXPECT_EQ(code->code(), 3);
    EXPECT_EQ(code->signal(), 0);
    EXPECT_FALSE(code->success());
    EXPECT_EQ(code->to_string(), "exit code 3");
    EXPECT_EQ(three->status(), *code);
    EXPECT_EQ(three->wait(), code) << "as often as one likes";
    auto killed = Subprocess::spawn(shell("kill -TERM $$; sleep 60"));
    const auto by = killed->wait();
    EXPECT_FALSE(by->exited());
    EXPECT_EQ(by->signal(), SIGTERM);
    EXPECT_EQ(by->code(), -1);
    EXPECT_EQ(by->to_string(), "signal 15 (Terminated)");
    expect_no_children();
  });
}

TEST(SubprocessExit, ReapedBySomebodyElseIsAnError) {
  test::run([] {
    const auto previous = ::signal(SIGCHLD, SIG_IGN);  // the kernel reaps
    auto p = Subprocess::spawn(shell("exit 3"));
    ASSERT_TRUE(p);
    EXPECT_EQ(p->wait().error(), std::errc::no_child_process);
    EXPECT_FALSE(p->status());
    EXPECT_EQ(p->kill().error(), std::errc::no_such_process);
    ::signal(SIGCHLD, previous);
  });
}

TEST(SubprocessSpawn, MissingProgramsAndDirectories) {
  test::run([] {
    const auto before = test::open_descriptors();
    const auto error = [](Command c) {
      auto p = Subprocess::spawn(c);
      return p ? std::error_code() : p.error();
    };
    EXPECT_EQ(error({.args = {"no-such-program-treadle"}}), std::errc::no_such_file_or_directory);
    EXPECT_EQ(error({.args = {"/no/such/program"}}), std::errc::no_such_file_or_directory);
    EXPECT_EQ(error({.args = {"/"}}), std::errc::permission_denied);
    EXPECT_EQ(error({.args = {""}}), std::errc::no_such_file_or_directory);
    EXPECT_EQ(error({.args = {"true"}, .cwd = "/no/such"}), std::errc::no_such_file_or_directory);
    EXPECT_EQ(error({.args = {"true"}, .in = Redirect::file("/no/such")}),
              std::errc::no_such_file_or_directory);
    EXPECT_EQ(error({.args = {"true"}, .out = Redirect::fd(-1)}), std::errc::bad_file_descriptor);
    EXPECT_EQ(error({.args = {std::string("tr\0ue", 5)}}), Errc::invalid);
    EXPECT_EQ(error({.args = {"no-such-program-treadle"},
                     .in = Redirect::pipe(),
                     .out = Redirect::pipe(),
                     .err = Redirect::pipe()}),
              std::errc::no_such_file_or_directory);
    EXPECT_EQ(test::open_descriptors(), before);
    expect_no_children();
  });
}

TEST(SubprocessSpawn, NonsensePanics) {
  EXPECT_THROW((void)Subprocess::spawn({}), Panic);
  EXPECT_THROW((void)Subprocess::spawn({.args = {"true"}, .out = Redirect::to_out()}), Panic);
  try {
    (void)Subprocess::spawn({.args = {"true"}, .grace = -5ns});
    ADD_FAILURE();
  } catch (const Panic& p) {
    EXPECT_NE(std::string(p.what()).find("-5"), std::string::npos);
  }
}

TEST(SubprocessSpawn, NoDescriptorLeft) {
#if TREADLE_ASAN
  GTEST_SKIP() << "UBSan looks at objects through a pipe, for which there must be descriptors";
#endif
  test::run([] {
    const auto before = test::open_descriptors();
    for (std::size_t left = 0; left < 8; ++left) {
      const test::FewDescriptors few(left);
      auto p = Subprocess::spawn({.args = {"true"},
                                  .in = Redirect::pipe(),
                                  .out = Redirect::pipe(),
                                  .err = Redirect::pipe()});
      if (p)
        EXPECT_TRUE(p->wait()->success());
      else
        EXPECT_EQ(p.error(), std::errc::too_many_files_open) << left;
    }
    EXPECT_EQ(test::open_descriptors(), before);
    expect_no_children();
  });
}

// No pidfd can be opened: its end is noticed all the same, and the context still kills.
TEST(SubprocessSpawn, WithoutADescriptorForTheEnd) {
#if TREADLE_ASAN
  GTEST_SKIP() << "UBSan looks at objects through a pipe, for which there must be descriptors";
#endif
  test::run([] {
    const test::FewDescriptors none(0);
    auto p = Subprocess::spawn({.args = {"true"}, .in = Redirect::inherit()});
    ASSERT_TRUE(p) << p.error().message();
    EXPECT_TRUE(p->wait()->success());
    auto [ctx, cancel] = with_cancel(background());
    auto q =
        Subprocess::spawn({.args = {"sleep", "60"}, .in = Redirect::inherit(), .context = ctx});
    ASSERT_TRUE(q) << q.error().message();
    cancel();
    EXPECT_EQ(q->wait().error(), Errc::canceled);
  });
}

TEST(SubprocessEnvironment, ArgumentsEnvironmentAndDirectory) {
  test::run([] {
    EXPECT_EQ(text_of({.args = {"printf", "%s|", "a b", "", "$c"}}), "a b||$c|");
    EXPECT_EQ(
        text_of({.args = {"/usr/bin/env"}, .env = std::vector<std::string>{"A=1", "B=two words"}}),
        "A=1\nB=two words\n");
    EXPECT_EQ(text_of({.args = {"/usr/bin/env"}, .env = std::vector<std::string>()}), "");
    EXPECT_EQ(text_of({.args = {"pwd"}, .cwd = "/usr"}), "/usr\n");
    EXPECT_EQ(text_of({.args = {"./env", "printf", "x"}, .cwd = "/usr/bin"}), "x");
    EXPECT_NE(text_of({.args = {"env"}}).find("PATH="), std::string::npos);
  });
}

TEST(SubprocessEnvironment, NoStrayDescriptorsAndNoBlockedSignals) {
  test::run([] {
    const int stray = ::open("/dev/null", O_RDONLY);  // somebody forgot O_CLOEXEC
    const std::string fds = text_of(shell("ls /proc/self/fd | tr '\\n' ' '"));
    EXPECT_EQ(fds, "0 1 2 3 ") << "3 is ls's own";
    ::close(stray);
    const std::string masks =
        text_of({.args = {"grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"}});
    EXPECT_NE(masks.find("SigBlk:\t0000000000000000"), std::string::npos) << masks;
    const auto at = masks.find("SigIgn:\t") + 8;
    const auto ignored = std::stoull(masks.substr(at, 16), nullptr, 16);
    EXPECT_EQ(ignored >> (SIGPIPE - 1) & 1, 0u) << masks;
  });
}

TEST(SubprocessRedirect, FilesNullAndDescriptors) {
  test::run([] {
    const test::TemporaryTree tree;
    const std::string path = tree.path("out");
    const auto run = [](const Command& c) {
      auto p = Subprocess::spawn(c);
      ASSERT_TRUE(p) << p.error().message();
      EXPECT_TRUE(p->wait()->success());
    };
    run({.args = {"echo", "one"}, .out = Redirect::file(path)});
    EXPECT_EQ(slurp(path), "one\n");
    run({.args = {"echo", "two"}, .out = Redirect::append(path)});
    EXPECT_EQ(slurp(path), "one\ntwo\n");
    run({.args = {"echo", "three"}, .out = Redirect::file(path)});
    EXPECT_EQ(slurp(path), "three\n") << "truncated";
    Command both = shell("echo out; echo err >&2");
    both.out = Redirect::file(path);
    both.err = Redirect::to_out();
    run(both);
    EXPECT_EQ(slurp(path), "out\nerr\n");
    Command copy{.args = {"cat"}, .in = Redirect::file(path)};
    EXPECT_EQ(text_of(copy), "out\nerr\n");
    EXPECT_EQ(text_of({.args = {"cat"}}), "") << "no input by default";
    const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
    run({.args = {"echo", "four"}, .out = Redirect::fd(fd)});
    EXPECT_NE(::fcntl(fd, F_GETFD), -1) << "borrowed";
    ::close(fd);
    EXPECT_EQ(slurp(path), "out\nerr\nfour\n");
  });
}

// Outputs exchanged: no dup2 may overwrite the source of the next.
TEST(SubprocessRedirect, StandardDescriptorsSwapped) {
  test::run([] {
    const test::TemporaryTree tree;
    const std::string a = tree.path("a");
    const std::string b = tree.path("b");
    for (const auto& path : {a, b}) std::ofstream(path).flush();
    Command ours = shell("echo one; echo two >&2");
    const int saved[] = {::dup(1), ::dup(2)};
    const int to[] = {::open(a.c_str(), O_WRONLY | O_TRUNC), ::open(b.c_str(), O_WRONLY | O_TRUNC)};
    ::dup2(to[0], 1);
    ::dup2(to[1], 2);
    ours.out = Redirect::fd(2);
    ours.err = Redirect::fd(1);
    auto child = Subprocess::spawn(ours);
    ::dup2(saved[0], 1);
    ::dup2(saved[1], 2);
    for (const int fd : {saved[0], saved[1], to[0], to[1]}) ::close(fd);
    ASSERT_TRUE(child && child->wait()->success());
    EXPECT_EQ(slurp(a), "two\n");
    EXPECT_EQ(slurp(b), "one\n");
  });
}

std::string megabyte() {
  std::string s(1 << 20, '\0');
  for (std::size_t i = 0; i < s.size(); ++i) s[i] = static_cast<char>(i * 7 + i / 251);
  return s;
}

TEST(SubprocessOutput, MegabyteBothWays) {
  test::run([] {
    const std::string input = megabyte();
    EXPECT_TRUE(text_of({.args = {"cat"}}, input) == input);
    const auto both = Subprocess::output(shell("tee /dev/stderr"), input);
    ASSERT_TRUE(both) << both.error().message();
    EXPECT_TRUE(both->out == input);
    EXPECT_TRUE(both->err == input);
    Command merged = shell("cat >&2");
    merged.err = Redirect::to_out();
    EXPECT_TRUE(text_of(merged, input) == input);
  });
}

TEST(SubprocessOutput, BadStatusIsNoErrorNorIsInputUnread) {
  test::run([] {
    const auto out = Subprocess::output(shell("echo no >&2; exit 4"), megabyte());
    ASSERT_TRUE(out) << out.error().message();
    EXPECT_EQ(out->status.code(), 4);
    EXPECT_EQ(out->err, "no\n");
    EXPECT_EQ(out->out, "");
  });
}

TEST(SubprocessOutput, CurrentContextKills) {
  test::run([] {
    const auto before = test::open_descriptors();
    {
      const ContextScope scope(with_timeout(background(), 20ms).context);
      EXPECT_EQ(Subprocess::output({.args = {"sleep", "60"}}).error(), Errc::timed_out);
      EXPECT_EQ(Subprocess::output({.args = {"true"}}).error(), Errc::timed_out) << "done already";
    }
    expect_no_children();
    EXPECT_EQ(test::open_descriptors(), before);
  });
}

// The child has gone, but what it started holds the pipes.
TEST(SubprocessOutput, ContextEndsTheWaitForWhatTheChildLeftBehind) {
  test::run([] {
    Command c = shell("sleep 2 &");
    c.context = with_timeout(background(), 100ms).context;
    EXPECT_EQ(Subprocess::output(c).error(), Errc::timed_out);
  });
}

TEST(SubprocessPipe, StreamsBothWaysByHand) {
  test::run([] {
    auto p = Subprocess::spawn({.args = {"cat"}, .in = Redirect::pipe(), .out = Redirect::pipe()});
    ASSERT_TRUE(p);
    for (int i = 0; i < 100; ++i) {
      const std::string line = std::to_string(i) + '\n';
      Task reads([&] {
        std::string got(line.size(), '\0');
        std::size_t n = 0;
        while (n < got.size()) {
          auto r = p->out().read(std::as_writable_bytes(std::span(got).subspan(n)));
          ASSERT_TRUE(r && *r > 0);
          n += *r;
        }
        EXPECT_EQ(got, line);
      });
      if (i % 2) reads.wait_until_parked();
      EXPECT_TRUE(p->in().write_all(line));
      reads.join();
    }
    p->in().close();
    p->in().close();
    EXPECT_EQ(p->in().write_all("x").error(), Errc::closed);
    EXPECT_EQ(p->out().read_all(), "");
    EXPECT_TRUE(p->wait()->success());
    std::byte b[1];
    EXPECT_EQ(p->err().read(b).error(), Errc::closed) << "not a pipe";
  });
}

TEST(SubprocessPipe, WriteToAChildThatIsGoneIsAnError) {
  test::run([] {
    auto p = Subprocess::spawn({.args = {"true"}, .in = Redirect::pipe()});
    ASSERT_TRUE(p);
    EXPECT_TRUE(p->wait());
    EXPECT_EQ(p->in().write_all(std::string(1 << 20, 'x')).error(), std::errc::broken_pipe);
  });
}

TEST(SubprocessPipe, DeadlineContextAndCloseEndARead) {
  test::run([] {
    auto p = Subprocess::spawn(
        {.args = {"sleep", "60"}, .in = Redirect::pipe(), .out = Redirect::pipe()});
    ASSERT_TRUE(p);
    std::byte b[10];
    p->out().set_deadline(Deadline::after(1ms));
    EXPECT_EQ(p->out().read(b).error(), Errc::timed_out);
    p->out().set_deadline(Deadline::never());
    {
      const ContextScope scope(with_timeout(background(), 1ms).context);
      EXPECT_EQ(p->out().read(b).error(), Errc::timed_out);
    }
    Task reads([&] { EXPECT_EQ(p->out().read(b).error(), Errc::closed); });
    reads.wait_until_parked();
    p->out().close();
    reads.join();
    EXPECT_TRUE(p->kill());
    EXPECT_EQ(p->wait()->signal(), SIGKILL);
  });
}

TEST(SubprocessWait, ContextEndsTheWaitNotTheChild) {
  test::run([] {
    auto p = Subprocess::spawn({.args = {"sleep", "60"}});
    ASSERT_TRUE(p);
    EXPECT_EQ(p->wait(with_timeout(background(), 1ms).context).error(), Errc::timed_out);
    {
      const ContextScope scope(with_timeout(background(), 1ms).context);
      EXPECT_EQ(p->wait().error(), Errc::timed_out);
    }
    EXPECT_FALSE(p->status());
    EXPECT_EQ(::kill(p->pid(), 0), 0);
    std::vector<std::unique_ptr<Task>> waits;
    for (int i = 0; i < 5; ++i)
      waits.push_back(std::make_unique<Task>([&] { EXPECT_EQ(p->wait()->signal(), SIGTERM); }));
    for (auto& w : waits) w->wait_until_parked();
    EXPECT_TRUE(p->terminate());
    for (auto& w : waits) w->join();
    EXPECT_EQ(p->kill().error(), std::errc::no_such_process) << "reaped";
  });
}

TEST(SubprocessCancel, KillsAtOnceWithoutGrace) {
  test::run([] {
    auto [ctx, cancel] = with_cancel(background());
    Command c = shell("trap '' TERM; echo up; read x");
    c.in = Redirect::pipe();
    c.out = Redirect::pipe();
    c.context = ctx;
    auto p = Subprocess::spawn(c);
    ASSERT_TRUE(p);
    std::byte up[3];
    EXPECT_EQ(p->out().read(up), 3u);
    cancel();
    EXPECT_EQ(p->wait().error(), Errc::canceled);
    EXPECT_EQ(p->status()->signal(), SIGKILL);
    EXPECT_EQ(Subprocess::spawn(c).error(), Errc::canceled) << "done already";
  });
}

TEST(SubprocessCancel, GraceLetsItEndByItself) {
  test::run([] {
    auto [ctx, cancel] = with_cancel(background());
    Command c = shell("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done");
    c.out = Redirect::pipe();
    c.context = ctx;
    c.grace = 1h;
    auto p = Subprocess::spawn(c);
    ASSERT_TRUE(p);
    std::byte up[3];
    EXPECT_EQ(p->out().read(up), 3u);
    cancel();
    EXPECT_TRUE(p->wait()->success()) << "its own end, and a good one";
    EXPECT_EQ(p->out().read_all(), "bye\n");
  });
}

TEST(SubprocessCancel, GraceThatIsOverKills) {
  test::run([] {
    auto [ctx, cancel] = with_cancel(background());
    Command c = shell("trap '' TERM; echo up; while :; do sleep 0.01; done");
    c.out = Redirect::pipe();
    c.context = ctx;
    c.grace = 30ms;
    c.own_group = true;
    auto p = Subprocess::spawn(c);
    ASSERT_TRUE(p);
    std::byte up[3];
    EXPECT_EQ(p->out().read(up), 3u);
    const TimePoint start = Clock::now();
    cancel();
    EXPECT_EQ(p->wait().error(), Errc::canceled);
    EXPECT_GE(Clock::now() - start, 30ms);
    EXPECT_EQ(p->status()->signal(), SIGKILL);
  });
}

TEST(SubprocessGroup, SignalsReachWhatTheChildStarted) {
  test::run([] {
    Command c = shell("sleep 60 & wait");
    c.out = Redirect::pipe();
    c.own_group = true;
    auto p = Subprocess::spawn(c);
    ASSERT_TRUE(p);
    EXPECT_TRUE(p->kill());
    EXPECT_EQ(p->wait()->signal(), SIGKILL);
    EXPECT_EQ(p->out().read_all(), "") << "ends only when both are gone";
  });
}

TEST(SubprocessDestructor, KillsAndReaps) {
  test::run([] {
    pid_t pid;
    {
      auto p = Subprocess::spawn({.args = {"sleep", "60"}});
      ASSERT_TRUE(p);
      pid = p->pid();
      auto moved = std::move(*p);
      EXPECT_EQ(moved.pid(), pid);
    }
    expect_no_children();
    EXPECT_EQ(::kill(pid, 0), -1);
  });
}

TEST(SubprocessDestructor, DetachedOneRunsOn) {
  test::run([] {
    const test::TemporaryTree tree;
    const std::string path = tree.path("done");
    {
      Command c = shell("read x; echo done");
      c.in = Redirect::pipe();
      c.out = Redirect::file(path);
      auto p = Subprocess::spawn(c);
      ASSERT_TRUE(p);
      p->detach();
    }
    expect_no_children();
    EXPECT_EQ(slurp(path), "done\n");
  });
}

TEST(SubprocessMany, HundredAtOnceLeaveNothingBehind) {
  test::run([] {
    const auto before = test::open_descriptors();
    WaitGroup wg;
    std::atomic<int> right{0};
    for (int i = 0; i < 100; ++i) {
      wg.add(1);
      go([&, i] {
        auto out = Subprocess::output(shell("cat; exit " + std::to_string(i)), "hello");
        right += out && out->out == "hello" && out->status.code() == i;
        wg.done();
      });
    }
    wg.wait();
    EXPECT_EQ(right, 100);
    expect_no_children();
    EXPECT_EQ(test::open_descriptors(), before);
  });
}

TEST(SubprocessThread, PlainThreadStartsAndWaits) {
  const auto before = runtime_stats().goroutines;
  std::atomic<bool> right{false};
  std::thread t([&] {
    auto out = Subprocess::output({.args = {"cat"}}, "plain");
    right = out && out->out == "plain";
  });
  t.join();
  EXPECT_TRUE(right);
  test::expect_goroutines(before);
}

// The two ways to notice the end, each by itself.
TEST(SubprocessChildExit, ByPidfdAndByThread) {
  test::run([] {
    using rt::ChildExit;
    for (const auto by : {ChildExit::By::pidfd, ChildExit::By::thread}) {
      char program[] = "sleep";
      char time[] = "60";
      char* argv[] = {program, time, nullptr};
      pid_t pid = -1;
      ASSERT_EQ(::posix_spawnp(&pid, program, nullptr, nullptr, argv, environ), 0);
      ChildExit child(pid, by);
      EXPECT_EQ(child.wait(with_timeout(background(), 1ms).context, Deadline::never()).error(),
                Errc::timed_out);
      EXPECT_EQ(child.wait(background(), Deadline::after(1ms)).error(), Errc::timed_out);
      EXPECT_TRUE(child.kill(SIGKILL, ChildExit::Target::process));
      EXPECT_TRUE(child.wait(background(), Deadline::never()));
      EXPECT_TRUE(child.wait(background(), Deadline::never()));
      EXPECT_TRUE(child.kill(SIGKILL, ChildExit::Target::process)) << "a zombie keeps its pid";
      EXPECT_EQ(child.reap()->signal(), SIGKILL);
      EXPECT_EQ(child.kill(SIGKILL, ChildExit::Target::process).error(),
                std::errc::no_such_process);
      EXPECT_EQ(child.reap().error(), std::errc::no_child_process);
    }
  });
}

}  // namespace
}  // namespace treadle
