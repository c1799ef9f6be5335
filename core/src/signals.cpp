// Signals as values: the handler sets a bit and writes to an eventfd, which the poller watches.
#include <treadle/signals.h>

#include <fmt/core.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include <treadle/detail/poll_desc.h>
#include <treadle/go.h>

#include "runtime/sched.h"

namespace treadle {

namespace {

constexpr int kSignals = 65;

constexpr int kNobody = 0;

// What the handler touches: lock-free atomics only. owner[s] is one more than the eventfd of the
// set that has signal s.
constinit std::array<std::atomic<int>, kSignals> owner{};
constinit std::array<std::atomic<bool>, kSignals> pending{};
constinit std::atomic<int> handlers{0};  // under way

std::mutex registry;  // plain calls only: never held across a park

void on_signal(int s) {
  const int saved = errno;
  handlers.fetch_add(1,
                     std::memory_order_seq_cst);  // before `owner` is read: see wait_for_handlers()
  pending[static_cast<std::size_t>(s)].store(true, std::memory_order_seq_cst);
  const std::uint64_t one = 1;
  const int holder = owner[static_cast<std::size_t>(s)].load(std::memory_order_seq_cst);
  if (holder != kNobody) {
    [[maybe_unused]] const auto n = ::write(holder - 1, &one, sizeof one);
  }
  handlers.fetch_sub(1, std::memory_order_release);
  errno = saved;
}

// After the owner was taken away: no handler writes to its descriptor any more, which may be closed
// and be somebody else's. Either a handler sees that it has no owner, or it is counted here.
void wait_for_handlers() noexcept {
  while (handlers.load(std::memory_order_seq_cst) != 0) ::sched_yield();
}

}  // namespace

struct SignalSet::Impl {
  struct Taken {
    int signal;
    struct sigaction previous;
  };
  std::vector<Taken> taken;  // under registry, as ended
  bool ended = false;
  detail::Pollable event;
  std::atomic<bool> has_channel{false};

  void restore() noexcept {
    std::lock_guard hold(registry);
    sigset_t mask;
    rt::block_async_signals(&mask);  // sigpending() tells of blocked ones only
    for (const Taken& t : taken) {
      // One that was sent before this, and that no thread has taken yet, was for the set; by the
      // action restored it could end the process. Ignoring drops it. (SIGCHLD's default action is
      // harmless, and children that end while it is ignored are lost.)
      sigset_t unread;
      if (t.signal != SIGCHLD && ::sigpending(&unread) == 0 &&
          ::sigismember(&unread, t.signal) == 1)
        ::signal(t.signal, SIG_IGN);
      ::sigaction(t.signal, &t.previous, nullptr);
      owner[static_cast<std::size_t>(t.signal)].store(kNobody, std::memory_order_seq_cst);
    }
    ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
    wait_for_handlers();
    rt::sched.outside_wakers.fetch_sub(static_cast<int>(taken.size()), std::memory_order_relaxed);
    taken.clear();
    ended = true;
  }

  void take(int s) {
    if (s < 1 || s >= kSignals) throw Panic(fmt::format("treadle::SignalSet: no signal {}", s));
    if (s == SIGSEGV || s == SIGBUS || s == SIGFPE || s == SIGILL)
      throw Panic(
          fmt::format("treadle::SignalSet: signal {} is a fault of its thread, and stays so", s));
    std::lock_guard hold(registry);
    auto& mine = owner[static_cast<std::size_t>(s)];
    if (mine.load(std::memory_order_relaxed) != kNobody)
      throw Panic(fmt::format("treadle::SignalSet: signal {} belongs to another set", s));
    mine.store(event.fd() + 1, std::memory_order_seq_cst);
    pending[static_cast<std::size_t>(s)].store(false, std::memory_order_relaxed);
    struct sigaction sa{};
    sa.sa_handler = &on_signal;
    sa.sa_flags = SA_RESTART | SA_ONSTACK;
    ::sigfillset(&sa.sa_mask);
    struct sigaction previous;
    if (::sigaction(s, &sa, &previous) != 0) {
      mine.store(kNobody, std::memory_order_relaxed);
      throw Panic(fmt::format("treadle::SignalSet: signal {} cannot be handled", s));
    }
    taken.push_back({s, previous});
    rt::sched.outside_wakers.fetch_add(1, std::memory_order_relaxed);  // never a deadlock
  }

  // A signal that has come; 0 when none has. Never parks.
  Result<int> look() {
    const detail::Pollable::Use use(event);  // the set may be destroyed beside its channel's server
    if (!use.ok()) return fail(Errc::closed);
    std::lock_guard hold(registry);
    if (ended) return fail(Errc::closed);  // what is pending now is another set's
    std::uint64_t drain;
    [[maybe_unused]] const auto n = ::read(event.fd(), &drain, sizeof drain);
    for (const Taken& t : taken) {
      auto& flag = pending[static_cast<std::size_t>(t.signal)];
      if (flag.exchange(false, std::memory_order_seq_cst)) {
        // Others may be pending too: leave a mark, so that the next wait looks again.
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto w = ::write(event.fd(), &one, sizeof one);
        return t.signal;
      }
    }
    return 0;
  }

  Result<int> wait() {
    for (;;) {
      if (auto r = event.prepare(detail::PollMode::read); !r) return fail(r.error());
      const Result<int> came = look();
      if (!came || *came != 0) return came;
      if (auto r = event.wait(detail::PollMode::read); !r) return fail(r.error());
    }
  }
};

SignalSet::SignalSet(std::initializer_list<int> signals) {
  auto impl = std::make_shared<Impl>();
  const int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) throw std::system_error(errno, std::system_category(), "treadle::SignalSet: eventfd");
  auto event = detail::Pollable::open(fd);
  if (!event) throw std::system_error(event.error(), "treadle::SignalSet: poller");
  impl->event = std::move(*event);
  try {
    for (int s : signals) impl->take(s);
  } catch (...) {
    impl->restore();
    throw;
  }
  impl_ = std::move(impl);
}

SignalSet::~SignalSet() {
  // The handlers go first: after that nothing writes to the descriptor any more.
  impl_->restore();
  impl_->event.close();
}

Result<int> SignalSet::wait() {
  if (impl_->has_channel.load(std::memory_order_relaxed))
    throw Panic("treadle::SignalSet: wait() beside channel()");
  return impl_->wait();
}

Chan<int> SignalSet::channel(std::size_t capacity) {
  if (capacity == 0) throw Panic("treadle::SignalSet: a channel of capacity 0 drops every signal");
  auto ch = make_chan<int>(capacity);
  if (impl_->has_channel.exchange(true, std::memory_order_relaxed))
    throw Panic("treadle::SignalSet: the set has a channel already");
  go([impl = impl_, ch] {
    while (auto s = impl->wait()) (void)ch.try_send(*s);
    ch.close();
  });
  return ch;
}

}  // namespace treadle
