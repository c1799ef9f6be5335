// bare-plaintext: answers "Hello, World!" to every head that ends, whatever it asks for; pipelined
// requests with one send. With --echo it is post_echo.c instead.
//
//   bare-plaintext --port N [--workers N] [--echo] [--close]
//
// --close ends each connection after the answers to what one read brought, for measuring how
// connections come and go.
#define _GNU_SOURCE
#include <string.h>

#include "post_echo.h"
#include "serve.h"

static const char kHead[] =
    "HTTP/1.1 200 OK\r\n"
    "Content-Type: text/plain\r\n"
    "Content-Length: 13\r\n";
static const char kClose[] = "Connection: close\r\n";
static const char kDate[] = "Date: ";
static const char kBody[] = "\r\n\r\nHello, World!";

enum { kCopies = 256, kMostSize = 256 };

// The same response many times over: however many requests a read brings, one send answers them
// from memory that is ready, without a copy.
struct answers {
  size_t size;     // of one
  size_t date_at;  // in each
  char bytes[kCopies * kMostSize];
};

static void start(struct worker* w) {
  struct answers* a = need_memory(NULL, sizeof *a);
  char* end = stpcpy(a->bytes, kHead);
  if (w->flags->close) end = stpcpy(end, kClose);
  end = stpcpy(end, kDate);
  a->date_at = (size_t)(end - a->bytes);
  memset(end, ' ', kDateSize);
  end = stpcpy(end + kDateSize, kBody);
  a->size = (size_t)(end - a->bytes);
  for (size_t i = 1; i < kCopies; ++i) memcpy(a->bytes + i * a->size, a->bytes, a->size);
  w->own = a;
}

static void date_changed(struct worker* w) {
  struct answers* a = w->own;
  for (size_t i = 0; i < kCopies; ++i)
    memcpy(a->bytes + i * a->size + a->date_at, w->date, kDateSize);
}

// Answers as many requests as `bytes` hold ends of, and keeps the beginning of the next one.
static bool answer(struct worker* w, struct conn* c, const char* bytes, size_t size) {
  const struct answers* a = w->own;
  const char *from = bytes, *end = bytes + size;
  for (bool last = false; !last;) {
    size_t requests = 0;
    while (requests < kCopies) {
      const char* next = head_end(from, end);
      if (next == NULL) break;
      from = next;
      ++requests;
    }
    last = requests < kCopies;
    if (requests == 0) break;
    if (!conn_send(w, c, a->bytes, requests * a->size, 0)) return false;
    if (c->rest != NULL) break;  // the heads behind these wait with the tail
  }
  conn_keep(c, from, (size_t)(end - from));
  return true;
}

static bool readable(struct worker* w, struct conn* c) {
  bool more;
  do {
    ssize_t n = conn_read(w, c, &more);
    if (n < 0) return false;
    if (n == 0) return true;
    if (!answer(w, c, w->buffer, (size_t)n)) return false;
    if (c->rest != NULL) return true;
    if (w->flags->close && c->tail == NULL) return false;
  } while (more);
  return true;
}

// What waited behind a slow peer: whole heads may stand in the tail.
static bool resumed(struct worker* w, struct conn* c) {
  if (c->tail == NULL) return true;
  const size_t size = c->tail_size;
  memcpy(w->buffer, c->tail, size);
  return answer(w, c, w->buffer, size);
}

static const struct program kPlaintext = {
    .name = "bare-plaintext",
    .takes = kTakesEcho | kTakesClose,
    .conn_size = sizeof(struct conn),
    .start = start,
    .date_changed = date_changed,
    .readable = readable,
    .resumed = resumed,
};

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i)
    if (strcmp(argv[i], "--echo") == 0) return serve(&kPostEcho, argc, argv);
  return serve(&kPlaintext, argc, argv);
}
