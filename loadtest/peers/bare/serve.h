// What the bare programs share: flags, listeners, one event loop per worker, the date, and bytes
// that wait for a slow peer. They are the ceiling that the servers are measured against: what one
// would write by hand for one purpose, with no time-outs, no limits and no checks but those that
// keep it correct.
//
// The loop: every worker is a thread with a listener of its own (SO_REUSEPORT) and an epoll of its
// own. The listener is level-triggered, one accept per event: the accept that would only say EAGAIN
// never happens. Connections are edge-triggered and stay registered as they are from the first
// byte to the last, so a request costs one recv, one send and its share of an epoll_wait. A recv
// that comes back short has emptied the socket; only then is the next edge waited for.
#ifndef BARE_SERVE_H
#define BARE_SERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

enum { kReadSize = 64 * 1024, kDateSize = 29 };

struct flags {
  int port;
  int workers;
  const char* root;  // NULL where the program has no such flag
  const char* cert;
  const char* key;
  bool echo;
  bool close;
};

// Which flags besides --port and --workers a program knows.
enum { kTakesRoot = 1, kTakesTls = 2, kTakesEcho = 4, kTakesClose = 8 };

// A connection as far as the loop knows it; each program's own begins with one.
struct conn {
  int fd;
  bool ended;           // the peer has sent its last byte: read on until 0 comes
  bool watches_writes;  // the loop also hears that the peer takes bytes again
  uint32_t tail_size;   // what was read and is no whole request yet
  char* tail;
  char* rest;  // what the peer has not taken yet; nothing is read meanwhile
  size_t rest_size;
  size_t rest_sent;
};

struct worker {
  const struct flags* flags;
  int epoll;
  int listener;
  time_t now;
  char date[kDateSize + 1];  // "Sun, 06 Nov 1994 08:49:37 GMT"
  char* buffer;              // kReadSize bytes, for whoever reads
  void* own;                 // the program's
};

struct program {
  const char* name;
  unsigned takes;
  size_t conn_size;
  void (*start)(struct worker*);                   // may be NULL
  void (*date_changed)(struct worker*);            // once a second at most; may be NULL
  bool (*opened)(struct worker*, struct conn*);    // false: close it; may be NULL
  bool (*readable)(struct worker*, struct conn*);  // false: close it
  bool (*resumed)(struct worker*, struct conn*);   // first, once `rest` is gone; may be NULL
  void (*closing)(struct conn*);                   // before the descriptor goes; may be NULL
};

// Serves until SIGTERM, which ends the process with 0.
int serve(const struct program*, int argc, char** argv);

// Ends the process with a line on standard error.
_Noreturn void die(const char* format, ...) __attribute__((format(printf, 1, 2)));

// malloc() and realloc() that end the process where there is no memory.
void* need_memory(void* old, size_t size);

// Reads behind the connection's tail into the worker's buffer. Returns the bytes there now, tail
// included; 0: nothing came; -1: end or error. `*more` says whether another read may find more.
ssize_t conn_read(struct worker*, struct conn*, bool* more);

// Keeps what is left of the buffer for the next conn_read().
void conn_keep(struct conn*, const char* bytes, size_t size);

// Sends, and keeps what the peer does not take, to go once it does. False: the connection is dead.
bool conn_send(struct worker*, struct conn*, const char* bytes, size_t size, int flags);

// From now on the loop calls readable() also when the peer takes bytes again after a send that
// found no room. It stays so: it costs nothing while there is room.
void conn_watch_writes(struct worker*, struct conn*);

// Appends the head of a 200 with application/octet-stream, kOctetsHeadSize bytes at most; returns
// where it ends.
enum { kOctetsHeadSize = 160 };
char* put_octets_head(char* to, const char* date, uint64_t length);

// The byte behind the first CRLFCRLF in [from, end), or NULL.
const char* head_end(const char* from, const char* end);

#endif
