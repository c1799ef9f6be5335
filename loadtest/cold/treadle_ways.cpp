// Goroutines on one P: as treadle reads, as it would with a mere hint, and as it would with a ring
// in its netpoller.
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <mutex>
#include <vector>

#include <treadle/blocking.h>
#include <treadle/chan.h>
#include <treadle/detail/poll_desc.h>
#include <treadle/go.h>
#include <treadle/mutex.h>
#include <treadle/net/file.h>
#include <treadle/runtime.h>
#include <treadle/timer.h>
#include <treadle/wait_group.h>

#include "cold.h"
#include "ring.h"

namespace cold {

namespace {

// -errno on failure; out of line, since errno must not be named where a goroutine may move.
[[gnu::noinline]] ssize_t read_cached(int fd, std::span<std::byte> into, std::uint64_t offset) {
  const iovec part{into.data(), into.size()};
  const ssize_t n = ::preadv2(fd, &part, 1, static_cast<off_t>(offset), RWF_NOWAIT);
  return n < 0 ? -errno : n;
}
[[gnu::noinline]] ssize_t read_at(int fd, std::span<std::byte> into, std::uint64_t offset) {
  const ssize_t n = ::pread(fd, into.data(), into.size(), static_cast<off_t>(offset));
  return n < 0 ? -errno : n;
}

// Sleeps a millisecond at a time until `stop`.
void tick(Ticks& ticks, const std::atomic<bool>& stop) {
  while (!stop.load(std::memory_order_relaxed)) {
    const std::int64_t begin = now();
    (void)treadle::sleep(std::chrono::nanoseconds(Ticks::kEvery));
    ticks.late(now() - begin - Ticks::kEvery);
  }
}

// `read(into, offset)`, which returns as pread() does or -errno, for each block.
template <class Read>
void read_by_goroutines(const Job& job, Read read) {
  std::atomic<bool> stop{false};
  treadle::WaitGroup readers;
  treadle::WaitGroup ticker;
  if (job.ticks) ticker.go([&] { tick(*job.ticks, stop); });
  for (std::size_t i = 0; i < job.concurrency; ++i)
    readers.go([&, room = job.room(i)] {
      while (const auto offset = job.blocks.next()) {
        std::size_t got = 0;
        while (got < room.size()) {
          const ssize_t n = read(room.subspan(got), *offset + got);
          if (n <= 0) fail("a read of treadle's", static_cast<int>(-n));
          got += static_cast<std::size_t>(n);
        }
        job.blocks.check(room, *offset);
      }
    });
  readers.wait();
  stop = true;
  ticker.wait();
}

void read_by_file(const Job& job) {
  const treadle::net::File file(::dup(job.fd));
  read_by_goroutines(job, [&](std::span<std::byte> into, std::uint64_t offset) -> ssize_t {
    const auto n = file.read_at(into, offset);
    return n ? static_cast<ssize_t>(*n) : -n.error().value();
  });
}

void read_hinted(const Job& job) {
  read_by_goroutines(job, [&](std::span<std::byte> into, std::uint64_t offset) -> ssize_t {
    const ssize_t n = read_cached(job.fd, into, offset);
    if (n != -EAGAIN) return n;
    return treadle::blocking([&] { return read_at(job.fd, into, offset); });
  });
}

// A ring that any goroutine may read by. Its completions wake a goroutine by an eventfd in
// treadle's own poller, and that one wakes the readers.
class SharedRing {
 public:
  explicit SharedRing(std::size_t most)
      : ring_(static_cast<unsigned>(most), IORING_SETUP_COOP_TASKRUN) {
    for (std::size_t i = 0; i < most; ++i) results_.push_back(treadle::make_chan<ssize_t>(1));
    const int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) fail("eventfd", errno);
    ring_.notify(fd);
    auto event = treadle::detail::Pollable::open(fd);
    if (!event) fail("the eventfd's registration", event.error().value());
    event_ = std::move(*event);
    treadle::go([this] { complete(); });
  }

  // `slot` is the caller's own.
  ssize_t read(std::size_t slot, int fd, std::span<std::byte> into, std::uint64_t offset) {
    {
      const std::lock_guard hold(mutex_);
      ring_.queue_read(fd, into, offset, slot);
      ring_.submit(0);
    }
    return *results_[slot].recv();
  }

 private:
  // For as long as the process lives.
  void complete() {
    for (;;) {
      if (!event_.prepare(treadle::detail::PollMode::read)) fail("the eventfd");
      clear(event_.fd());
      while (const auto done = ring_.take())
        results_[static_cast<std::size_t>(done->tag)].send(done->result);
      if (!event_.wait(treadle::detail::PollMode::read)) fail("the eventfd");
    }
  }
  [[gnu::noinline]] static void clear(int fd) {
    std::uint64_t n = 0;
    if (::read(fd, &n, sizeof n) < 0 && errno != EAGAIN) fail("read of the eventfd", errno);
  }

  treadle::Mutex mutex_;
  Ring ring_;  // submissions under mutex_; completions are complete()'s
  std::vector<treadle::Chan<ssize_t>> results_;
  treadle::detail::Pollable event_;
};

void read_by_ring(const Job& job) {
  static SharedRing ring(job.concurrency);
  const std::byte* const begin = job.memory.data();
  read_by_goroutines(job, [&, begin](std::span<std::byte> into, std::uint64_t offset) -> ssize_t {
    const ssize_t n = read_cached(job.fd, into, offset);
    if (n != -EAGAIN) return n;
    const auto slot = static_cast<std::size_t>(into.data() - begin) / job.blocks.size();
    return ring.read(slot, job.fd, into, offset);
  });
}

// As the first goroutine of a runtime with one P.
template <void (*read)(const Job&)>
void on_one_p(const Job& job) {
  treadle::run({.max_procs = 1}, [&] { read(job); });
}

}  // namespace

std::vector<Way> treadle_ways() {
  std::vector<Way> ways = {
      {"treadle", "net::File::read_at()", true, &on_one_p<&read_by_file>},
      {"treadle-hint", "the same by blocking(): the P may be taken, it is not given away", true,
       &on_one_p<&read_hinted>}};
  if (Ring::has(IORING_SETUP_COOP_TASKRUN))
    ways.push_back({"treadle-ring",
                    "goroutines over io_uring, woken by an eventfd in the netpoller", true,
                    &on_one_p<&read_by_ring>});
  return ways;
}

}  // namespace cold
