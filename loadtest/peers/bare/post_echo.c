// Reads Content-Length and sends the body back as it comes: a body that came with its head goes in
// one send with the response's head, a large one streams through the worker's buffer. The answer
// to a request begins before its body has ended, so a client has to read while it sends.
#define _GNU_SOURCE
#include "post_echo.h"

#include <string.h>
#include <strings.h>
#include <sys/socket.h>

// Bodies up to kCopied go into the answer by a copy: cheaper than a send of several pieces.
enum { kCopied = 8 * 1024, kAnswerSize = kReadSize };

struct post_conn {
  struct conn c;
  uint64_t body_left;  // bytes of the current body that have not come yet
};

static void start(struct worker* w) { w->own = need_memory(NULL, kAnswerSize); }

// The body's length that a head states, 0 where it states none; -1 for what is no length.
static int64_t content_length(const char* head, const char* end) {
  static const char name[] = "content-length:";
  const size_t name_size = sizeof name - 1;
  for (const char* line = head; (line = memchr(line, '\n', (size_t)(end - line))) != NULL;) {
    ++line;
    if ((size_t)(end - line) <= name_size) return 0;
    if ((*line | 0x20) != 'c' || strncasecmp(line, name, name_size) != 0) continue;
    const char* p = line + name_size;
    while (*p == ' ' || *p == '\t') ++p;
    const char* digits = p;
    int64_t n = 0;
    for (; *p >= '0' && *p <= '9'; ++p) {
      if (p - digits == 15) return -1;
      n = n * 10 + (*p - '0');
    }
    return p > digits && *p == '\r' ? n : -1;
  }
  return 0;
}

// Answers what stands in [from, end). Small pieces gather in the worker's answer; a large piece of
// a body goes from where it was read. Stops early when the peer takes no more.
static bool answer(struct worker* w, struct conn* c, const char* from, const char* end) {
  struct post_conn* p = (struct post_conn*)c;
  char* const answer_at = w->own;
  char* to = answer_at;
  while (from < end) {
    if (p->body_left == 0) {
      const char* next = head_end(from, end);
      if (next == NULL) break;
      const int64_t length = content_length(from, next);
      if (length < 0) return false;
      p->body_left = (uint64_t)length;
      to = put_octets_head(to, w->date, p->body_left);
      from = next;
    }
    size_t piece = (size_t)(end - from);
    if (piece > p->body_left) piece = p->body_left;
    const bool copied = piece <= kCopied;
    if (copied) to = mempcpy(to, from, piece);
    const size_t ready = (size_t)(to - answer_at);
    if (!copied || ready > kAnswerSize - kCopied - kOctetsHeadSize) {
      if (ready > 0 && !conn_send(w, c, answer_at, ready, copied ? 0 : MSG_MORE)) return false;
      to = answer_at;
    }
    if (!copied) {
      if (c->rest != NULL) break;  // this piece stays behind what waits
      if (!conn_send(w, c, from, piece, 0)) return false;
    }
    p->body_left -= piece;
    from += piece;
    if (c->rest != NULL) break;
  }
  const size_t ready = (size_t)(to - answer_at);
  if (ready > 0 && !conn_send(w, c, answer_at, ready, 0)) return false;
  conn_keep(c, from, (size_t)(end - from));
  return true;
}

static bool readable(struct worker* w, struct conn* c) {
  bool more;
  do {
    ssize_t n = conn_read(w, c, &more);
    if (n < 0) return false;
    if (n == 0) return true;
    if (!answer(w, c, w->buffer, w->buffer + n)) return false;
    if (c->rest != NULL) return true;
  } while (more);
  return true;
}

static bool resumed(struct worker* w, struct conn* c) {
  if (c->tail == NULL) return true;
  const size_t size = c->tail_size;
  memcpy(w->buffer, c->tail, size);
  return answer(w, c, w->buffer, w->buffer + size);
}

const struct program kPostEcho = {
    .name = "bare-plaintext",
    .takes = kTakesEcho,
    .conn_size = sizeof(struct post_conn),
    .start = start,
    .readable = readable,
    .resumed = resumed,
};
