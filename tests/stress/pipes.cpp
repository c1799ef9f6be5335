// Descriptors through the poller: every byte arrives, every waiter is woken, by data, by a
// deadline, by close() or by its context.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <treadle/context.h>
#include <treadle/detail/poll_desc.h>
#include <treadle/go.h>
#include <treadle/wait_group.h>

#include <cerrno>
#include <cstddef>
#include <vector>

#include "stress/stress.h"

namespace treadle::stress {
namespace {

using detail::Pollable;
using detail::PollMode;

struct Ends {
  Pollable reader, writer;
};

// Socket pairs and pipes in turn; null when descriptors have run out.
bool open_ends(Ends& ends, bool socket) {
  int fds[2];
  const int e = socket ? ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds)
                       : ::pipe2(fds, O_NONBLOCK | O_CLOEXEC);
  if (e != 0) return false;
  auto reader = Pollable::open(fds[0]);
  auto writer = Pollable::open(fds[1]);
  if (!reader || !writer) return false;
  ends.reader = std::move(*reader);
  ends.writer = std::move(*writer);
  return true;
}

[[gnu::noinline]] ssize_t read_or_errno(int fd, std::byte* to, std::size_t n) noexcept {
  const ssize_t got = ::read(fd, to, n);
  return got < 0 ? -errno : got;
}
[[gnu::noinline]] ssize_t write_or_errno(int fd, const std::byte* from, std::size_t n) noexcept {
  const ssize_t got = ::write(fd, from, n);
  return got < 0 ? -errno : got;
}

Result<std::size_t> read_some(const Pollable& pd, std::byte* to, std::size_t n) {
  const Pollable::Use use(pd);
  if (!use.ok()) return fail(Errc::closed);
  for (;;) {
    if (auto r = pd.prepare(PollMode::read); !r) return fail(r.error());
    const ssize_t got = read_or_errno(pd.fd(), to, n);
    if (got >= 0) return static_cast<std::size_t>(got);
    if (got != -EAGAIN) return fail_errno(static_cast<int>(-got));
    if (auto r = pd.wait(PollMode::read); !r) return fail(r.error());
  }
}

Result<void> write_all(const Pollable& pd, const std::byte* from, std::size_t n) {
  const Pollable::Use use(pd);
  if (!use.ok()) return fail(Errc::closed);
  while (n > 0) {
    if (auto r = pd.prepare(PollMode::write); !r) return fail(r.error());
    const ssize_t put = write_or_errno(pd.fd(), from, n);
    if (put >= 0) {
      from += put;
      n -= static_cast<std::size_t>(put);
      continue;
    }
    if (put != -EAGAIN) return fail_errno(static_cast<int>(-put));
    if (auto r = pd.wait(PollMode::write); !r) return fail(r.error());
  }
  return {};
}

std::byte byte_at(std::size_t i) { return static_cast<std::byte>(i * 167 + 13); }

// A stream from one end to the other, in pieces of any size, checked byte by byte.
void stream(Random& random) {
  Ends ends;
  if (!open_ends(ends, random.once_in(2))) return;
  const auto total =
      static_cast<std::size_t>(random.once_in(4) ? random.below(2'000'000) : random.below(20'000));
  WaitGroup wg;
  wg.add(1);
  go([&wg, &ends, total, random = random.fork()]() mutable {
    std::vector<std::byte> piece(8192);
    for (std::size_t sent = 0; sent < total;) {
      const std::size_t n =
          std::min(total - sent, static_cast<std::size_t>(random.between(1, 8192)));
      for (std::size_t i = 0; i < n; ++i) piece[i] = byte_at(sent + i);
      const auto r = write_all(ends.writer, piece.data(), n);
      require(r.has_value(), "pipe: write failed: {}", r ? "" : r.error().message());
      sent += n;
      if (random.once_in(8)) (void)sleep(random.up_to(std::chrono::microseconds(50)));
    }
    ends.writer.close();
    wg.done();
  });
  std::vector<std::byte> piece(4096);
  std::size_t got = 0;
  for (;;) {
    const bool limited = random.once_in(16);
    if (limited)
      ends.reader.set_deadline(PollMode::read,
                               Deadline::after(random.up_to(std::chrono::microseconds(100))));
    const auto r =
        read_some(ends.reader, piece.data(), static_cast<std::size_t>(random.between(1, 4096)));
    if (limited) ends.reader.set_deadline(PollMode::read, Deadline::never());
    if (!r) {
      require(limited && r.error() == Errc::timed_out, "pipe: read failed: {}",
              r.error().message());
      continue;
    }
    if (*r == 0) break;
    for (std::size_t i = 0; i < *r; ++i)
      require(piece[i] == byte_at(got + i), "pipe: byte {} is wrong", got + i);
    got += *r;
  }
  wg.wait();
  require(got == total, "pipe: {} bytes of {} arrived", got, total);
}

// A reader that waits for nothing, ended by one of several things, or by all at once.
void ended(Random& random) {
  Ends ends;
  if (!open_ends(ends, random.once_in(2))) return;
  auto limit = with_cancel(background());
  WaitGroup wg;
  wg.add(1);
  go([&] {
    const ContextScope scope(limit.context);
    std::byte b{};
    const auto r = read_some(ends.reader, &b, 1);
    require(!r || *r == 0, "pipe: a byte out of nowhere");
    wg.done();
  });
  const Duration moment = random.up_to(std::chrono::microseconds(100));
  if (random.once_in(2)) (void)sleep(moment);
  const int how = random.between(1, 15);
  if (how & 1) ends.reader.set_deadline(PollMode::read, Deadline::after(moment));
  if (how & 2) limit.cancel();
  if (how & 4) ends.reader.close();
  if (how & 8) ends.writer.close();
  wg.wait();
}

void round(Random& random) { random.once_in(2) ? stream(random) : ended(random); }

const Registered registered{{"pipes", "pipes and sockets through the poller", &round}};

}  // namespace
}  // namespace treadle::stress
