// Waits for borrowed descriptors.
//
// Each wait that parks makes an epoll instance of its own, registers the descriptor there (level-
// triggered) and waits for that instance, which the poller watches as it does a socket. Why so
// much:
//  - An instance holds at most one registration for a descriptor: the poller's own may be taken,
//    and several goroutines may wait for one descriptor.
//  - A registration belongs to the open file, not to the number. When the owner has closed the
//    number while a duplicate keeps the file, EPOLL_CTL_DEL cannot name it any more; closing the
//    instance always removes it.
// It costs about 1.5 us over a wait on a descriptor of treadle's own, and nothing when poll() says
// ready.
//
// Rejected: dup() and the poller's instance (0.9 us less): the duplicate would keep a closed
// socket open, so that its peer sees no end, and its close() would drop the process's record locks.
// One shared instance with EPOLLONESHOT: leaks the registrations just described.
#include <treadle/wait_fd.h>

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>

#include <treadle/detail/poll_desc.h>

namespace treadle {

namespace {

using detail::Pollable;
using detail::PollMode;

// System calls out of line: errno is not named in functions that park. Negative: -errno.

[[gnu::noinline]] int poll_now(int fd, short events) noexcept {
  if (fd < 0) return -EBADF;  // poll() would ignore it
  pollfd p{fd, events, 0};
  if (::poll(&p, 1, 0) < 0) return -errno;
  return p.revents & POLLNVAL ? -EBADF : p.revents;
}

[[gnu::noinline]] int register_alone(int fd, std::uint32_t events) noexcept {
  const int ep = ::epoll_create1(EPOLL_CLOEXEC);
  if (ep < 0) return -errno;
  epoll_event e{};
  e.events = events;
  if (::epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0) return ep;
  const int error = errno;
  ::close(ep);
  return -error;
}

// 1: ready; 0: not.
[[gnu::noinline]] int harvest(int ep) noexcept {
  epoll_event e;
  int n;
  do {
    n = ::epoll_wait(ep, &e, 1, 0);
  } while (n < 0 && errno == EINTR);
  return n < 0 ? -errno : n;
}

// Whether the number still names the file that was registered.
bool still_same(int ep, int fd, std::uint32_t events) noexcept {
  epoll_event e{};
  e.events = events;
  return ::epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e) == 0;
}

Result<void> wait_for(int fd, bool reading, Deadline deadline) {
  if (const Context ctx = current_context(); ctx.done()) return fail(ctx.error());
  const int now = poll_now(fd, reading ? POLLIN : POLLOUT);
  if (now < 0) return fail_errno(-now);
  if (now != 0) return {};
  if (deadline.passed()) return fail(Errc::timed_out);
  const std::uint32_t events = reading ? EPOLLIN : EPOLLOUT;
  const int ep = register_alone(fd, events);
  if (ep == -EPERM) return {};  // what cannot be polled never waits
  if (ep < 0) return fail_errno(-ep);
  auto watched = Pollable::open(ep);
  if (!watched) return fail(watched.error());
  if (!deadline.is_never()) watched->set_deadline(PollMode::read, deadline);
  for (;;) {
    if (auto r = watched->prepare(PollMode::read); !r) return r;
    const int n = harvest(watched->fd());
    if (n < 0) return fail_errno(-n);
    if (n == 1) {
      if (!still_same(watched->fd(), fd, events)) return fail(Errc::closed);
      return {};
    }
    if (auto r = watched->wait(PollMode::read); !r) return r;
  }
}

}  // namespace

Result<void> wait_readable(int fd) { return wait_for(fd, true, Deadline::never()); }
Result<void> wait_readable(int fd, const Context& ctx) {
  const ContextScope scope(ctx);
  return wait_for(fd, true, Deadline::never());
}
Result<void> wait_readable(int fd, Deadline deadline) { return wait_for(fd, true, deadline); }

Result<void> wait_writable(int fd) { return wait_for(fd, false, Deadline::never()); }
Result<void> wait_writable(int fd, const Context& ctx) {
  const ContextScope scope(ctx);
  return wait_for(fd, false, Deadline::never());
}
Result<void> wait_writable(int fd, Deadline deadline) { return wait_for(fd, false, deadline); }

}  // namespace treadle
