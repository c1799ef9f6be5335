#include "support/goroutine.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>

#include <treadle/dump.h>
#include <treadle/go.h>
#include <treadle/runtime.h>
#include <treadle/testing.h>
#include <treadle/timer.h>
#include <treadle/wait_group.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TREADLE_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TREADLE_TEST_SANITIZED 1
#endif
#endif
#ifndef TREADLE_TEST_SANITIZED
#define TREADLE_TEST_SANITIZED 0
#endif

namespace treadle::test {
namespace {

// Shared with the goroutine, which may still be inside finish() when run() has returned.
class Completion {
 public:
  void finish(std::exception_ptr thrown) {
    const std::lock_guard lock(mutex_);
    thrown_ = std::move(thrown);
    finished_ = true;
    condition_.notify_all();
  }
  bool wait_for(std::chrono::seconds limit) {
    std::unique_lock lock(mutex_);
    return condition_.wait_for(lock, limit, [&] { return finished_; });
  }
  std::exception_ptr thrown() {
    const std::lock_guard lock(mutex_);
    return thrown_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool finished_ = false;
  std::exception_ptr thrown_;
};

// Where is_parked() has the goroutines written. Opened by run(), before a test takes away all
// descriptors there are.
int dump_file() {
  static const int fd = ::memfd_create("dump", MFD_CLOEXEC);
  return fd;
}

// Asks the dump, which is the one thing that knows: "goroutine 7 [io read, ...". Slow and simple.
bool is_parked(std::uint64_t id) {
  static std::mutex mutex;  // guards the file
  if (id == 0) return false;
  const std::lock_guard lock(mutex);
  const int fd = dump_file();
  if (::ftruncate(fd, 0) < 0 || ::lseek(fd, 0, SEEK_SET) < 0) std::abort();
  dump_goroutines(fd, {.stacks = false});
  std::string text(static_cast<std::size_t>(::lseek(fd, 0, SEEK_END)), '\0');
  const bool read = ::pread(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size());
  const std::string mark = "goroutine " + std::to_string(id) + " [";
  const std::size_t at = text.find(mark);
  if (!read || at == std::string::npos) return false;
  const std::string_view state = std::string_view(text).substr(at + mark.size());
  for (const char* going : {"running", "runnable", "detached", "dead"})
    if (state.starts_with(going)) return false;
  return true;
}

void dump() {
  std::fflush(stdout);
  dump_goroutines(STDERR_FILENO);
}

// Says with each failed test what repeats the scheduler's choices.
class SeedPrinter : public ::testing::EmptyTestEventListener {
  void OnTestEnd(const ::testing::TestInfo& info) override {
    if (info.result()->Failed() && seed_in_use())
      std::fprintf(stderr, "%s.%s failed with TREADLE_SCHED_SEED=%llu\n", info.test_suite_name(),
                   info.name(), static_cast<unsigned long long>(seed_in_use()));
  }
  // Set by the first run(): a test that starts no runtime has none started here.
  static std::uint64_t seed_in_use() { return seed_of_runtime.load(); }

 public:
  static inline std::atomic<std::uint64_t> seed_of_runtime{0};
};

// Before main(), hence before the first test; gtest owns and frees it.
[[maybe_unused]] const bool seed_printer_added = [] {
  ::testing::UnitTest::GetInstance()->listeners().Append(new SeedPrinter);
  return true;
}();

}  // namespace

struct Task::State {
  WaitGroup running;
  std::atomic<std::uint64_t> id{0};
  std::atomic<bool> done{false};
  std::exception_ptr thrown;  // stored before `running` says done
};

Task::Task(std::function<void()> body, std::source_location site)
    : state_(std::make_shared<State>()) {
  state_->running.add(1);
  go(
      [state = state_, body = std::move(body)]() mutable {
        state->id = goroutine_id();
        try {
          body();
        } catch (...) {
          state->thrown = std::current_exception();
        }
        body = nullptr;
        state->done = true;
        state->running.done();
      },
      site);
}

Task::~Task() { state_->running.wait(); }

void Task::join() {
  state_->running.wait();
  if (auto thrown = std::exchange(state_->thrown, nullptr)) std::rethrow_exception(thrown);
}

bool Task::done() const { return state_->done; }

void Task::wait_until_parked() const {
  while (!state_->done && !is_parked(state_->id)) gosched();
}

std::chrono::seconds patience() noexcept {
  return std::chrono::seconds(TREADLE_TEST_SANITIZED ? 60 : 30);
}

bool seeded_scheduler() { return testing::sched_seed() != 0; }

std::string current_test_name() {
  const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
  if (info == nullptr) return "no test";
  return std::string(info->test_suite_name()) + '.' + info->name();
}

void expect_goroutines(std::uint64_t expected) {
  // A goroutine that has said it is done still has a few instructions to go, and nothing tells
  // when they are over: so look again, first at once, then every millisecond.
  const auto limit = Deadline::after(std::chrono::seconds(5));
  for (int looks = 0; runtime_stats().goroutines > expected; ++looks) {
    if (limit.passed()) {
      dump();
      ADD_FAILURE() << "goroutines left behind: " << runtime_stats().goroutines << ", expected "
                    << expected << "; see the dump on standard error";
      return;
    }
    if (looks < 100) {
      std::this_thread::yield();
    } else {
      (void)sleep(std::chrono::milliseconds(1));
    }
  }
}

void run(std::function<void()> body) {
  (void)dump_file();
  SeedPrinter::seed_of_runtime = testing::sched_seed();
  testing::LeakCheck leaks;
  const auto completion = std::make_shared<Completion>();
  // The body dies in the goroutine, before the completion: what it captured may need to park.
  go([completion, body = std::move(body)]() mutable {
    std::exception_ptr thrown;
    try {
      body();
    } catch (...) {
      thrown = std::current_exception();
    }
    body = nullptr;
    completion->finish(std::move(thrown));
  });
  if (!completion->wait_for(patience())) {
    std::fprintf(stderr, "\n%s did not end within %lld s (TREADLE_SCHED_SEED=%llu).\n",
                 current_test_name().c_str(), static_cast<long long>(patience().count()),
                 static_cast<unsigned long long>(testing::sched_seed()));
    dump();
    std::abort();
  }
  const auto left = leaks.check();
  if (auto thrown = completion->thrown()) std::rethrow_exception(thrown);
  if (!left.empty()) ADD_FAILURE() << testing::LeakCheck::report(left);
}

}  // namespace treadle::test
