// bare-echo: sends every byte back.
//
//   bare-echo --port N [--workers N]
#include "serve.h"

static bool readable(struct worker* w, struct conn* c) {
  bool more;
  do {
    ssize_t n = conn_read(w, c, &more);
    if (n < 0) return false;
    if (n == 0) return true;
    if (!conn_send(w, c, w->buffer, (size_t)n, 0)) return false;
  } while (more && c->rest == NULL);
  return true;
}

static const struct program kEcho = {
    .name = "bare-echo",
    .conn_size = sizeof(struct conn),
    .readable = readable,
};

int main(int argc, char** argv) { return serve(&kEcho, argc, argv); }
