// Waiting for descriptors that somebody else owns: a library's socket, a pipe, an eventfd, a
// timerfd, inotify.
//
//   while (PQconnectPoll(db) == PGRES_POLLING_READING)
//     if (auto r = treadle::wait_readable(PQsocket(db)); !r) return r.error();
//
// What "ready" means is what poll(2) says, at the time of the call or later: level-triggered, for
// this one wait. Data that was there before counts; hang-up and error count as ready, since the
// next read or write tells which. Regular files and directories are always ready.
#pragma once

#include <treadle/context.h>
#include <treadle/result.h>
#include <treadle/timer.h>

namespace treadle {

// Waits until `fd` can be read from. The descriptor is borrowed: it is not changed (O_NONBLOCK is
// not needed, nothing is read), and nothing stays registered when the call returns. It may be
// registered with epoll instances already, treadle's included, and any number of goroutines may
// wait for the same one, for either direction.
//   The owner should not close it while somebody waits. If that happens, the wait is not woken: it
// ends with its context or deadline. It never reports on another file that has got the number
// since: when the old one lives on through a duplicate and becomes ready, the error is
// Errc::closed. Errors: the current Context's, which counts first when it is done already; EBADF
// for what is no open descriptor; EMFILE or ENFILE, since a wait that parks needs one descriptor of
// its own. Parks the calling G unless it is ready; on a plain thread it blocks that thread.
Result<void> wait_readable(int fd);
// The same under `ctx` instead of the current Context.
Result<void> wait_readable(int fd, const Context& ctx);
// The same under the current Context, and until `deadline` at most: then `timed_out`. What is ready
// counts before a deadline that has passed, so that Deadline::after(0ns) only looks.
Result<void> wait_readable(int fd, Deadline deadline);

// As wait_readable(), until `fd` can be written to.
Result<void> wait_writable(int fd);
Result<void> wait_writable(int fd, const Context& ctx);
Result<void> wait_writable(int fd, Deadline deadline);

}  // namespace treadle
