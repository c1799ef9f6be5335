// bare-files: files below a directory, from disk for each request: open, fstat, the head, sendfile,
// close. Nothing is remembered about a file, and the head says no more of it than its length.
//
//   bare-files --port N --root DIR [--workers N]
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "serve.h"

enum { kNoFile = -1, kPathSize = 256 };

// Files of these sizes follow a head that has gone alone. Head and file in common segments, by
// MSG_MORE, save a fifth of the time for smaller ones, but cost half as much again from 96 KiB on,
// where both no longer fit what the peer has room for at once. For 10 MB they bring more bytes a
// second again. (Over loopback, 64 connections; sizes between 8 KiB and 256 KiB tried, and 10 MB.)
enum { kAloneFrom = 96 * 1024, kAloneTo = 1024 * 1024 };

struct file_conn {
  struct conn c;
  int file;  // that is being sent, or kNoFile
  size_t left;
};

static const char kNotFound[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

// Opens what the request line asks for; kNoFile where it is no GET of a regular file below the
// root.
static int open_asked(int root, const char* head, const char* end, size_t* size) {
  if (strncmp(head, "GET /", 5) != 0) return kNoFile;
  const char* path = head + 5;
  const char* path_end = memchr(path, ' ', (size_t)(end - path));
  if (path_end == NULL || path_end - path >= kPathSize) return kNoFile;
  char name[kPathSize];
  *(char*)mempcpy(name, path, (size_t)(path_end - path)) = '\0';
  if (name[0] == '/' || strstr(name, "..") != NULL) return kNoFile;
  int file = openat(root, name, O_RDONLY | O_CLOEXEC);
  if (file < 0) return kNoFile;
  struct stat status;
  if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(file);
    return kNoFile;
  }
  *size = (size_t)status.st_size;
  return file;
}

// Sends on until the file's end or until the peer takes no more. False: the connection is dead.
static bool send_on(struct worker* w, struct file_conn* f) {
  while (f->left > 0) {
    ssize_t n = sendfile(f->c.fd, f->file, NULL, f->left);
    if (n == 0) return false;  // the file has shrunk
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return false;
      n = 0;
    }
    f->left -= (size_t)n;
    if (f->left > 0) {
      // Short: the socket is full, and the kernel has noted that somebody wants room. The first
      // time the loop was not listening, so it looks once more.
      const bool looked = f->c.watches_writes;
      conn_watch_writes(w, &f->c);
      if (looked) return true;
    }
  }
  close(f->file);
  f->file = kNoFile;
  return true;
}

static bool answer_one(struct worker* w, struct file_conn* f, const char* head, const char* end) {
  size_t size = 0;
  f->file = open_asked(*(int*)w->own, head, end, &size);
  if (f->file == kNoFile) return conn_send(w, &f->c, kNotFound, sizeof kNotFound - 1, 0);
  char text[kOctetsHeadSize];
  const size_t text_size = (size_t)(put_octets_head(text, w->date, size) - text);
  f->left = size;
  const bool alone = size == 0 || (size >= kAloneFrom && size <= kAloneTo);
  if (!conn_send(w, &f->c, text, text_size, alone ? 0 : MSG_MORE)) return false;
  return f->c.rest != NULL || send_on(w, f);
}

static bool waits(const struct file_conn* f) { return f->c.rest != NULL || f->file != kNoFile; }

static bool answer(struct worker* w, struct file_conn* f, const char* from, const char* end) {
  const char* next;
  while (!waits(f) && (next = head_end(from, end)) != NULL) {
    if (!answer_one(w, f, from, next)) return false;
    from = next;
  }
  conn_keep(&f->c, from, (size_t)(end - from));
  return true;
}

static bool readable(struct worker* w, struct conn* c) {
  struct file_conn* f = (struct file_conn*)c;
  if (f->file != kNoFile && !send_on(w, f)) return false;
  if (c->tail != NULL && !waits(f)) {  // heads that came while something else was being sent
    const size_t size = c->tail_size;
    memcpy(w->buffer, c->tail, size);
    if (!answer(w, f, w->buffer, w->buffer + size)) return false;
  }
  for (bool more = true; more && !waits(f);) {
    ssize_t n = conn_read(w, c, &more);
    if (n < 0) return false;
    if (n > 0 && !answer(w, f, w->buffer, w->buffer + n)) return false;
  }
  return true;
}

static bool opened(struct worker* w, struct conn* c) {
  (void)w;
  ((struct file_conn*)c)->file = kNoFile;
  return true;
}

static void closing(struct conn* c) {
  if (((struct file_conn*)c)->file != kNoFile) close(((struct file_conn*)c)->file);
}

static void start(struct worker* w) {
  int* root = need_memory(NULL, sizeof *root);
  w->own = root;
  *root = open(w->flags->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (*root < 0) die("--root %s: %s", w->flags->root, strerror(errno));
}

static const struct program kFiles = {
    .name = "bare-files",
    .takes = kTakesRoot,
    .conn_size = sizeof(struct file_conn),
    .start = start,
    .opened = opened,
    .readable = readable,
    .closing = closing,
};

int main(int argc, char** argv) { return serve(&kFiles, argc, argv); }
