#define _GNU_SOURCE
#include "answers.h"

#include <string.h>

static const char kHead[] =
    "HTTP/1.1 200 OK\r\n"
    "Content-Type: text/plain\r\n"
    "Content-Length: 13\r\n";
static const char kClose[] = "Connection: close\r\n";
static const char kDate[] = "Date: ";
static const char kBody[] = "\r\n\r\nHello, World!";

void answers_start(struct worker* w) {
  struct answers* a = need_memory(NULL, sizeof *a);
  char* end = stpcpy(a->bytes, kHead);
  if (w->flags->close) end = stpcpy(end, kClose);
  end = stpcpy(end, kDate);
  a->date_at = (size_t)(end - a->bytes);
  memset(end, ' ', kDateSize);
  end = stpcpy(end + kDateSize, kBody);
  a->size = (size_t)(end - a->bytes);
  for (size_t i = 1; i < kAnswers; ++i) memcpy(a->bytes + i * a->size, a->bytes, a->size);
  w->own = a;
}

void answers_date_changed(struct worker* w) {
  struct answers* a = w->own;
  for (size_t i = 0; i < kAnswers; ++i)
    memcpy(a->bytes + i * a->size + a->date_at, w->date, kDateSize);
}

size_t answers_due(const char** from, const char* end) {
  size_t due = 0;
  for (const char* next; due < kAnswers && (next = head_end(*from, end)) != NULL; ++due)
    *from = next;
  return due;
}
