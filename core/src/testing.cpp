// Bubbles as users see them, and the leak check. The protocol stands in runtime/bubble.h.
#include <treadle/testing.h>

#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <exception>
#include <memory>
#include <utility>

#include <treadle/blocking.h>
#include <treadle/go.h>
#include <treadle/result.h>
#include <treadle/runtime.h>

#include "runtime/bubble.h"
#include "runtime/extra.h"
#include "runtime/foreign.h"
#include "runtime/random.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"

namespace treadle::testing {

namespace {

const char* state_of(const rt::G* g, rt::GStatus status) noexcept {
  switch (status) {
    case rt::GStatus::waiting:
    case rt::GStatus::dormant:
      return rt::wait_reason_text(g->reason.load(std::memory_order_relaxed));
    case rt::GStatus::runnable: return "runnable";
    default: return "running";
  }
}

LeakedGoroutine describe(const rt::G* g, rt::GStatus status) {
  char label[rt::PublishedText::kSize + 1];
  rt::extra_text(g, label);
  return {g->id.load(std::memory_order_relaxed), state_of(g, status), label,
          g->site.load(std::memory_order_relaxed)};
}

std::string line_of(const LeakedGoroutine& g) {
  return fmt::format("  goroutine {} [{}]{}, created at {}:{} in {}\n", g.id, g.state, g.label,
                     g.created.file_name(), g.created.line(), g.created.function_name());
}

bool alive(rt::GStatus s) noexcept { return s != rt::GStatus::idle && s != rt::GStatus::dead; }

// Calls `visit` for each goroutine there is, plain threads excepted. One that ends meanwhile may be
// seen still.
template <class F>
void for_each_goroutine(F&& visit) {
  rt::for_each_g(
      [](rt::G* g, void* arg) {
        const rt::GStatus status = g->status.load(std::memory_order_acquire);
        if (alive(status) && !g->foreign) (*static_cast<F*>(arg))(g, status);
      },
      &visit);
}

std::string blocked_members(const rt::Bubble* b) {
  std::string text;
  for_each_goroutine([&](const rt::G* g, rt::GStatus status) {
    if (g != b->root && g->bubble.load(std::memory_order_relaxed) == b)
      text += line_of(describe(g, status));
  });
  return text;
}

// Shared with a goroutine that may be blocked for good when run_virtual() has thrown.
struct Body {
  std::function<void()> fn;
  std::exception_ptr thrown;
};

void run_in_bubble(std::function<void()> fn, const std::source_location& site) {
  const auto body = std::make_shared<Body>();
  body->fn = std::move(fn);
  rt::Bubble* b;
  {
    rt::Entry entry;
    b = rt::bubble_open(entry.m()->curg);
  }
  go(
      [body] {
        try {
          body->fn();
        } catch (...) {
          body->thrown = std::current_exception();
        }
        body->fn = nullptr;
      },
      site);
  bool ended;
  {
    rt::ParkingEntry entry;
    ended = rt::bubble_drive(b);
  }
  std::string blocked = ended ? std::string() : blocked_members(b);
  {
    rt::Entry entry;
    rt::bubble_close(b);
  }
  if (body->thrown) std::rethrow_exception(body->thrown);
  if (!ended)
    throw Panic(
        "treadle::testing::run_virtual: deadlock: these goroutines are blocked, and no "
        "timer is armed:\n" +
        blocked);
}

}  // namespace

void run_virtual(std::function<void()> fn, std::source_location site) {
  rt::ensure_started();
  if (in_goroutine()) {
    if (rt::current_bubble())
      throw Panic("treadle::testing::run_virtual: called inside another bubble");
    run_in_bubble(std::move(fn), site);
    return;
  }
  rt::Note done;
  std::exception_ptr thrown;
  go([&] {
    try {
      run_in_bubble(std::move(fn), site);
    } catch (...) {
      thrown = std::current_exception();
    }
    done.wake();
  });
  done.sleep();
  if (thrown) std::rethrow_exception(thrown);
}

void wait() {
  rt::Bubble* b = rt::current_bubble();
  if (!b) throw Panic("treadle::testing::wait: called outside run_virtual()");
  bool alone;
  {
    rt::ParkingEntry entry;
    alone = rt::bubble_wait(b);
  }
  if (!alone) throw Panic("treadle::testing::wait: another goroutine of the bubble waits already");
}

LeakCheck::LeakCheck(std::function<void(const std::string&)> on_leak, Duration patience)
    : on_leak_(std::move(on_leak)), patience_(patience) {
  rt::ensure_started();
  for_each_goroutine([this](const rt::G* g, rt::GStatus) {
    before_.push_back(g->id.load(std::memory_order_relaxed));
  });
  std::ranges::sort(before_);
}

LeakCheck::~LeakCheck() {
  if (checked_) return;
  const auto leaked = check();
  if (leaked.empty()) return;
  if (on_leak_) {
    on_leak_(report(leaked));
  } else {
    std::fputs(report(leaked).c_str(), stderr);
    rt::fatal("goroutines were left behind");
  }
}

std::vector<LeakedGoroutine> LeakCheck::now() const {
  std::vector<LeakedGoroutine> found;
  for_each_goroutine([&](const rt::G* g, rt::GStatus status) {
    if (!std::ranges::binary_search(before_, g->id.load(std::memory_order_relaxed)))
      found.push_back(describe(g, status));
  });
  return found;
}

std::vector<LeakedGoroutine> LeakCheck::check() {
  checked_ = true;
  const std::int64_t begin = rt::nanotime();
  for (int looks = 0;; ++looks) {
    auto found = now();
    if (found.empty() || rt::nanotime() - begin >= patience_.count()) return found;
    // A goroutine that has done its work has a few instructions to go: mostly once is enough.
    const timespec pause{0, looks < 20 ? 20'000 : 1'000'000};
    blocking_long([&] { ::nanosleep(&pause, nullptr); });
  }
}

std::string LeakCheck::report(const std::vector<LeakedGoroutine>& leaked) {
  std::string text = fmt::format("{} goroutines were left behind:\n", leaked.size());
  for (const LeakedGoroutine& g : leaked) text += line_of(g);
  return text;
}

std::uint64_t sched_seed() {
  rt::ensure_started();
  return rt::random_seed();
}

}  // namespace treadle::testing
