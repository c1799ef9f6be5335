#define _GNU_SOURCE
#include "serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { kEvents = 512, kBacklog = 4096 };

static const struct program* g_program;
static struct flags g_flags = {.workers = 1};

void die(const char* format, ...) {
  va_list args;
  va_start(args, format);
  fprintf(stderr, "%s: ", g_program->name);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  exit(1);
}

void* need_memory(void* old, size_t size) {
  void* memory = realloc(old, size);
  if (memory == NULL) die("no memory for %zu bytes", size);
  return memory;
}

static int number(const char* flag, const char* text, int most) {
  char* end;
  errno = 0;
  long n = strtol(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || n < 1 || n > most)
    die("%s needs a number from 1 to %d, not '%s'", flag, most, text);
  return (int)n;
}

static void parse(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const char* flag = argv[i];
    if (g_program->takes & kTakesEcho && strcmp(flag, "--echo") == 0) {
      g_flags.echo = true;
      continue;
    }
    if (g_program->takes & kTakesClose && strcmp(flag, "--close") == 0) {
      g_flags.close = true;
      continue;
    }
    const char* value = i + 1 < argc ? argv[++i] : NULL;
    if (value == NULL) die("unknown flag %s, or its value is missing", flag);
    if (strcmp(flag, "--port") == 0) {
      g_flags.port = number(flag, value, 65535);
    } else if (strcmp(flag, "--workers") == 0) {
      g_flags.workers = number(flag, value, 256);
    } else if (g_program->takes & kTakesRoot && strcmp(flag, "--root") == 0) {
      g_flags.root = value;
    } else if (g_program->takes & kTakesTls && strcmp(flag, "--cert") == 0) {
      g_flags.cert = value;
    } else if (g_program->takes & kTakesTls && strcmp(flag, "--key") == 0) {
      g_flags.key = value;
    } else {
      die("unknown flag %s", flag);
    }
  }
  if (g_flags.port == 0) die("--port is missing");
  if (g_program->takes & kTakesRoot && g_flags.root == NULL) die("--root is missing");
  if (g_program->takes & kTakesTls && (g_flags.cert == NULL || g_flags.key == NULL))
    die("--cert and --key are missing");
}

// TCP_NODELAY on the listener: connections inherit it, which saves a system call each.
static int listen_on(int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket: %s", strerror(errno));
  const int on = 1;
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr = {htonl(INADDR_LOOPBACK)}};
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
      bind(fd, (struct sockaddr*)&address, sizeof address) != 0 || listen(fd, kBacklog) != 0)
    die("127.0.0.1:%d: %s", port, strerror(errno));
  return fd;
}

// Formatted by hand: strftime() would ask the locale.
static void tell_time(struct worker* w) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (now.tv_sec == w->now) return;
  w->now = now.tv_sec;
  static const char days[] = "SunMonTueWedThuFriSat";
  static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  struct tm t;
  gmtime_r(&w->now, &t);
  char text[64];
  snprintf(text, sizeof text, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * t.tm_wday,
           t.tm_mday, months + 3 * t.tm_mon, t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
  memcpy(w->date, text, kDateSize);
  if (g_program->date_changed != NULL) g_program->date_changed(w);
}

ssize_t conn_read(struct worker* w, struct conn* c, bool* more) {
  const size_t kept = c->tail_size;
  if (kept == kReadSize) return -1;  // a head that is larger than any should be
  if (kept > 0) memcpy(w->buffer, c->tail, kept);
  const size_t room = kReadSize - kept;
  ssize_t n;
  do {
    n = recv(c->fd, w->buffer + kept, room, 0);
  } while (n < 0 && errno == EINTR);
  *more = false;
  if (n < 0) return errno == EAGAIN ? 0 : -1;
  if (n == 0) return -1;
  *more = (size_t)n == room || c->ended;
  return (ssize_t)kept + n;
}

void conn_keep(struct conn* c, const char* bytes, size_t size) {
  if (size == 0) {
    if (c->tail == NULL) return;
    free(c->tail);
    c->tail = NULL;
  } else {
    c->tail = need_memory(c->tail, size);
    memcpy(c->tail, bytes, size);
  }
  c->tail_size = (uint32_t)size;
}

void conn_watch_writes(struct worker* w, struct conn* c) {
  if (c->watches_writes) return;
  c->watches_writes = true;
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
  if (epoll_ctl(w->epoll, EPOLL_CTL_MOD, c->fd, &event) != 0) die("epoll_ctl: %s", strerror(errno));
}

bool conn_send(struct worker* w, struct conn* c, const char* bytes, size_t size, int flags) {
  ssize_t n = send(c->fd, bytes, size, flags | MSG_NOSIGNAL);
  if (n == (ssize_t)size) return true;
  if (n < 0) {
    if (errno != EAGAIN && errno != EINTR) return false;
    n = 0;
  }
  c->rest_size = size - (size_t)n;
  c->rest_sent = 0;
  c->rest = need_memory(NULL, c->rest_size);
  memcpy(c->rest, bytes + n, c->rest_size);
  conn_watch_writes(w, c);
  return true;
}

// False: the connection is dead.
static bool send_rest(struct conn* c) {
  ssize_t n = send(c->fd, c->rest + c->rest_sent, c->rest_size - c->rest_sent, MSG_NOSIGNAL);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  c->rest_sent += (size_t)n;
  if (c->rest_sent < c->rest_size) return true;
  free(c->rest);
  c->rest = NULL;
  return true;
}

char* put_octets_head(char* to, const char* date, uint64_t length) {
  static const char head[] =
      "HTTP/1.1 200 OK\r\n"
      "Content-Type: application/octet-stream\r\n"
      "Date: ";
  static const char length_name[] = "\r\nContent-Length: ";
  to = mempcpy(to, head, sizeof head - 1);
  to = mempcpy(to, date, kDateSize);
  to = mempcpy(to, length_name, sizeof length_name - 1);
  char digits[20], *first = digits + sizeof digits;
  do {
    *--first = (char)('0' + length % 10);
    length /= 10;
  } while (length > 0);
  to = mempcpy(to, first, (size_t)(digits + sizeof digits - first));
  return mempcpy(to, "\r\n\r\n", 4);
}

const char* head_end(const char* p, const char* end) {
  // Looks at each fourth byte; what stands there says how far the next CRLFCRLF can be.
  while (end - p >= 4) {
    const char last = p[3];
    if (last > '\r') {
      p += 4;
    } else if (last == '\n') {
      if (p[0] == '\r' && p[1] == '\n' && p[2] == '\r') return p + 4;
      p += 2;
    } else {
      p += last == '\r' ? 1 : 4;
    }
  }
  return NULL;
}

static void close_conn(struct conn* c) {
  if (g_program->closing != NULL) g_program->closing(c);
  close(c->fd);
  free(c->tail);
  free(c->rest);
  free(c);
}

static void accept_one(struct worker* w) {
  int fd = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    // Out of descriptors the listener would wake us for ever, so that ends the program.
    if (errno == EMFILE || errno == ENFILE) die("accept: %s", strerror(errno));
    return;
  }
  struct conn* c = need_memory(NULL, g_program->conn_size);
  memset(c, 0, g_program->conn_size);
  c->fd = fd;
  struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = c};
  if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl: %s", strerror(errno));
  if (g_program->opened != NULL && !g_program->opened(w, c)) close_conn(c);
}

static void serve_event(struct worker* w, struct conn* c, uint32_t events) {
  if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) c->ended = true;
  bool alive = true;
  if (c->rest != NULL) {
    alive = send_rest(c);
    if (alive && c->rest != NULL) return;
    if (alive && g_program->resumed != NULL) alive = g_program->resumed(w, c);
  }
  if (alive && c->rest == NULL) alive = g_program->readable(w, c);
  if (!alive) close_conn(c);
}

static void* work(void* argument) {
  struct worker* w = argument;
  w->buffer = need_memory(NULL, kReadSize);
  w->epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  if (w->epoll < 0 || epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->listener, &event) != 0)
    die("epoll: %s", strerror(errno));
  if (g_program->start != NULL) g_program->start(w);
  struct epoll_event events[kEvents];
  for (;;) {
    int n = epoll_wait(w->epoll, events, kEvents, -1);
    if (n < 0 && errno != EINTR) die("epoll_wait: %s", strerror(errno));
    tell_time(w);
    for (int i = 0; i < n; ++i) {
      if (events[i].data.ptr == NULL)
        accept_one(w);
      else
        serve_event(w, events[i].data.ptr, events[i].events);
    }
  }
}

static void end_process(int signal_number) {
  (void)signal_number;
  _exit(0);
}

int serve(const struct program* program, int argc, char** argv) {
  g_program = program;
  parse(argc, argv);
  signal(SIGTERM, end_process);
  signal(SIGINT, end_process);
  signal(SIGPIPE, SIG_IGN);  // sendfile() has no MSG_NOSIGNAL
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  // All listeners stand before the first one is served: none of them loses a connection to a
  // later change of the group.
  struct worker* workers = need_memory(NULL, sizeof *workers * (size_t)g_flags.workers);
  memset(workers, 0, sizeof *workers * (size_t)g_flags.workers);
  for (int i = 0; i < g_flags.workers; ++i) {
    workers[i].flags = &g_flags;
    workers[i].listener = listen_on(g_flags.port);
  }
  for (int i = 1; i < g_flags.workers; ++i) {
    pthread_t thread;
    int error = pthread_create(&thread, NULL, work, &workers[i]);
    if (error != 0) die("a worker's thread: %s", strerror(error));
  }
  work(&workers[0]);
  return 0;
}
