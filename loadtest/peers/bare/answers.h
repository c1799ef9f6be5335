// "Hello, World!" many times over, with its head: however many requests a read brings, one send
// answers them from memory that is ready, without a copy.
#ifndef BARE_ANSWERS_H
#define BARE_ANSWERS_H

#include "serve.h"

enum { kAnswers = 256 };

struct answers {
  size_t size;     // of one
  size_t date_at;  // in each
  char bytes[kAnswers * 256];
};

// For struct program: the worker's own are its answers then.
void answers_start(struct worker*);
void answers_date_changed(struct worker*);

// How many heads end in [*from, end), kAnswers at most; moves *from behind the last of them.
size_t answers_due(const char** from, const char* end);

#endif
