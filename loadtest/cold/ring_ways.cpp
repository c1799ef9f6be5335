// A bare loop over io_uring: one thread, no goroutines. What a ring in the netpoller could come to
// at best (ring, ring-defer), and with what the netpoller would have to add to it (ring-epoll): a
// submission for each read, since goroutines come one by one, and completions that are told to its
// epoll.
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "cold.h"
#include "ring.h"

namespace cold {

namespace {

class Reads {
 public:
  Reads(const Job& job, unsigned flags)
      : job_(job),
        ring_(static_cast<unsigned>(job.concurrency), flags),
        offsets_(job.concurrency) {}

  Ring& ring() noexcept { return ring_; }
  bool left() const noexcept { return in_flight_ > 0; }

  // Queues the next block into the room of number `i`. False: there is none.
  bool queue(std::size_t i) {
    const auto offset = job_.blocks.next();
    if (!offset) return false;
    offsets_[i] = *offset;
    ring_.queue_read(job_.fd, job_.room(i), *offset, i);
    ++in_flight_;
    return true;
  }

  // The room whose block has come.
  std::optional<std::size_t> take() {
    const auto done = ring_.take();
    if (!done) return {};
    const auto i = static_cast<std::size_t>(done->tag);
    if (done->result < 0) fail("a read by the ring", -done->result);
    if (static_cast<std::size_t>(done->result) != job_.blocks.size()) fail("a short read");
    job_.blocks.check(job_.room(i), offsets_[i]);
    --in_flight_;
    return i;
  }

 private:
  const Job& job_;
  Ring ring_;
  std::vector<std::uint64_t> offsets_;
  std::size_t in_flight_ = 0;
};

void read_in_batches(const Job& job, unsigned flags) {
  Reads reads(job, flags);
  for (std::size_t i = 0; i < job.concurrency; ++i) reads.queue(i);
  while (reads.left()) {
    reads.ring().submit(1);
    while (const auto i = reads.take()) reads.queue(*i);
  }
}

std::uint64_t count_of(int fd) {
  std::uint64_t n = 0;
  if (::read(fd, &n, sizeof n) < 0 && errno != EAGAIN) fail("read of an event's count", errno);
  return n;
}

int ticker() {
  const int fd = ::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (fd < 0) fail("timerfd_create", errno);
  return fd;
}

std::int64_t arm(int timer) {
  itimerspec once{};
  once.it_value.tv_nsec = Ticks::kEvery;
  if (::timerfd_settime(timer, 0, &once, nullptr) != 0) fail("timerfd_settime", errno);
  return now();
}

void watch(int epoll, int fd) {
  epoll_event e{};
  e.events = EPOLLIN | EPOLLET;
  e.data.fd = fd;
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) != 0) fail("epoll_ctl", errno);
}

void read_by_epoll(const Job& job) {
  Reads reads(job, IORING_SETUP_COOP_TASKRUN);
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  const int event = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  const int timer = ticker();
  if (epoll < 0 || event < 0) fail("epoll_create1 or eventfd", errno);
  watch(epoll, event);
  watch(epoll, timer);
  reads.ring().notify(event);
  std::int64_t armed = job.ticks ? arm(timer) : 0;
  const auto start = [&reads](std::size_t i) {
    if (reads.queue(i)) reads.ring().submit(0);
  };
  for (std::size_t i = 0; i < job.concurrency; ++i) start(i);
  while (reads.left()) {
    std::array<epoll_event, 2> events;
    const int n = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    if (n < 0 && errno != EINTR) fail("epoll_wait", errno);
    for (int k = 0; k < n; ++k) {
      const int fd = events[static_cast<std::size_t>(k)].data.fd;
      count_of(fd);
      if (fd != timer) continue;
      job.ticks->late(now() - armed - Ticks::kEvery);
      armed = arm(timer);
    }
    while (const auto i = reads.take()) start(*i);
  }
  for (const int fd : {timer, event, epoll}) ::close(fd);
}

}  // namespace

std::vector<Way> ring_ways() {
  std::vector<Way> ways;
  constexpr unsigned kDefer = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
  if (!Ring::has(0)) return ways;
  ways.push_back({"ring", "one thread over io_uring, in batches", false,
                  [](const Job& job) { read_in_batches(job, 0); }});
  if (Ring::has(kDefer))
    ways.push_back({"ring-defer", "the same with SINGLE_ISSUER and DEFER_TASKRUN", false,
                    [](const Job& job) { read_in_batches(job, kDefer); }});
  if (Ring::has(IORING_SETUP_COOP_TASKRUN))
    ways.push_back({"ring-epoll",
                    "the same by an eventfd in an epoll, one submission for each read", true,
                    &read_by_epoll});
  return ways;
}

}  // namespace cold
