// bare-plaintext: answers "Hello, World!" to every head that ends, whatever it asks for; pipelined
// requests with one send. With --echo it is post_echo.c instead.
//
//   bare-plaintext --port N [--workers N] [--echo] [--close]
//
// --close ends each connection after the answers to what one read brought, for measuring how
// connections come and go.
#define _GNU_SOURCE
#include <string.h>

#include "answers.h"
#include "post_echo.h"
#include "serve.h"

// Answers as many requests as `bytes` hold ends of, and keeps the beginning of the next one.
static bool answer(struct worker* w, struct conn* c, const char* bytes, size_t size) {
  const struct answers* a = w->own;
  const char *from = bytes, *end = bytes + size;
  size_t due;
  do {
    due = answers_due(&from, end);
    if (due > 0 && !conn_send(w, c, a->bytes, due * a->size, 0)) return false;
  } while (due == kAnswers && c->rest == NULL);  // behind a slow peer further heads wait as tail
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
    .start = answers_start,
    .date_changed = answers_date_changed,
    .readable = readable,
    .resumed = resumed,
};

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i)
    if (strcmp(argv[i], "--echo") == 0) return serve(&kPostEcho, argc, argv);
  return serve(&kPlaintext, argc, argv);
}
