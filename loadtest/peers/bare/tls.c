// bare-tls: what bare-plaintext answers, over TLS by OpenSSL: TLS 1.2 and 1.3, tickets on.
//
//   bare-tls --port N --cert PEM --key PEM [--workers N]
//
// It reads a socket's bytes ahead, so that a record costs one recv, and knows from a short one that
// the socket is empty, so that no recv only says EAGAIN. Every worker has an SSL_CTX of its own,
// whose reference count no other core touches; they share the keys of the tickets.
#define _GNU_SOURCE
#include <errno.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "answers.h"

enum { kTicketKeysSize = 80 };

struct tls_conn {
  struct conn c;
  struct worker* worker;
  SSL* ssl;
  bool drained;  // the last recv has emptied the socket: wait for the next edge
  char* owed;    // answers that OpenSSL has not taken yet; nothing is read meanwhile
  size_t owed_size;
  size_t owed_sent;
};

static unsigned char g_ticket_keys[kTicketKeysSize];
static BIO_METHOD* g_socket_method;
// Each worker's thread has its own; `own` of the worker are its answers.
static _Thread_local SSL_CTX* t_context;

// ---- A BIO over the socket that tells how it went

static int socket_read(BIO* bio, char* into, int size) {
  struct tls_conn* t = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  if (t->drained) {
    BIO_set_retry_read(bio);
    return -1;
  }
  ssize_t n = recv(t->c.fd, into, (size_t)size, 0);
  t->drained = n < size && !t->c.ended;
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  return (int)n;
}

static int socket_write(BIO* bio, const char* bytes, int size) {
  struct tls_conn* t = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  ssize_t n = send(t->c.fd, bytes, (size_t)size, MSG_NOSIGNAL);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
  return (int)n;
}

static long socket_control(BIO* bio, int command, long number, void* pointer) {
  (void)bio;
  (void)number;
  (void)pointer;
  return command == BIO_CTRL_FLUSH;  // nothing is held back
}

static void make_socket_method(void) {
  g_socket_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
  if (g_socket_method == NULL || !BIO_meth_set_read(g_socket_method, socket_read) ||
      !BIO_meth_set_write(g_socket_method, socket_write) ||
      !BIO_meth_set_ctrl(g_socket_method, socket_control))
    die("OpenSSL has no memory for a BIO");
}

// ---- Connections

static bool opened(struct worker* w, struct conn* c) {
  struct tls_conn* t = (struct tls_conn*)c;
  t->worker = w;
  t->ssl = SSL_new(t_context);
  BIO* bio = BIO_new(g_socket_method);
  if (t->ssl == NULL || bio == NULL) die("OpenSSL has no memory for a connection");
  BIO_set_data(bio, t);
  BIO_set_init(bio, 1);
  SSL_set_bio(t->ssl, bio, bio);
  SSL_set_accept_state(t->ssl);
  return true;
}

// Without the shutdown's state OpenSSL would take the session for one that went wrong.
static void closing(struct conn* c) {
  struct tls_conn* t = (struct tls_conn*)c;
  SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(t->ssl);
  free(t->owed);
  ERR_clear_error();
}

// What OpenSSL has not done: false when it never will.
static bool waits(struct tls_conn* t, int result) {
  const int error = SSL_get_error(t->ssl, result);
  if (error == SSL_ERROR_WANT_WRITE) conn_watch_writes(t->worker, &t->c);
  return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

// The bytes that a write is tried again with have to be the same, so they are kept.
static void owe(struct tls_conn* t, const char* bytes, size_t size) {
  t->owed = need_memory(NULL, size);
  memcpy(t->owed, bytes, size);
  t->owed_size = size;
  t->owed_sent = 0;
}

static bool send_owed(struct tls_conn* t) {
  size_t n = 0;
  const int result = SSL_write_ex(t->ssl, t->owed + t->owed_sent, t->owed_size - t->owed_sent, &n);
  if (result != 1) return waits(t, result);
  t->owed_sent += n;
  if (t->owed_sent < t->owed_size) return send_owed(t);
  free(t->owed);
  t->owed = NULL;
  return true;
}

static bool send_answers(struct tls_conn* t, const char* bytes, size_t size) {
  while (size > 0) {
    size_t n = 0;
    const int result = SSL_write_ex(t->ssl, bytes, size, &n);
    if (result != 1) {
      owe(t, bytes, size);
      return waits(t, result);
    }
    bytes += n;
    size -= n;
  }
  return true;
}

static bool answer(struct worker* w, struct tls_conn* t, const char* bytes, size_t size) {
  const struct answers* a = w->own;
  const char *from = bytes, *end = bytes + size;
  size_t due;
  do {
    due = answers_due(&from, end);
    if (due > 0 && !send_answers(t, a->bytes, due * a->size)) return false;
  } while (due == kAnswers && t->owed == NULL);
  conn_keep(&t->c, from, (size_t)(end - from));
  return true;
}

static bool readable(struct worker* w, struct conn* c) {
  struct tls_conn* t = (struct tls_conn*)c;
  t->drained = false;
  if (t->owed != NULL) {
    if (!send_owed(t)) return false;
    if (t->owed != NULL) return true;
    const size_t size = c->tail_size;
    if (size > 0) memcpy(w->buffer, c->tail, size);
    if (!answer(w, t, w->buffer, size)) return false;
  }
  while (t->owed == NULL) {
    const size_t kept = c->tail_size;
    if (kept == kReadSize) return false;
    if (kept > 0) memcpy(w->buffer, c->tail, kept);
    size_t n = 0;
    const int result = SSL_read_ex(t->ssl, w->buffer + kept, kReadSize - kept, &n);
    if (result != 1) return waits(t, result);
    if (!answer(w, t, w->buffer, kept + n)) return false;
    if (t->drained && !SSL_has_pending(t->ssl)) return true;
  }
  return true;
}

// ---- The workers' contexts

static int choose_http1(SSL* ssl, const unsigned char** chosen, unsigned char* chosen_size,
                        const unsigned char* offered, unsigned offered_size, void* unused) {
  (void)ssl;
  (void)unused;
  static const unsigned char http1[] = "\x08http/1.1";
  return SSL_select_next_proto((unsigned char**)chosen, chosen_size, http1, sizeof http1 - 1,
                               offered, offered_size) == OPENSSL_NPN_NEGOTIATED
             ? SSL_TLSEXT_ERR_OK
             : SSL_TLSEXT_ERR_NOACK;
}

static void start(struct worker* w) {
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  if (context == NULL || !SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION))
    die("OpenSSL makes no context");
  // As by all peers: AES-128-GCM before the rest, whatever the client likes best.
  if (!SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384") ||
      !SSL_CTX_set_cipher_list(context, "ECDHE+AES128+AESGCM:ECDHE+AESGCM"))
    die("OpenSSL takes no ciphers");
  SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE);
  if (SSL_CTX_use_certificate_chain_file(context, w->flags->cert) != 1)
    die("--cert %s: %s", w->flags->cert, ERR_reason_error_string(ERR_peek_last_error()));
  if (SSL_CTX_use_PrivateKey_file(context, w->flags->key, SSL_FILETYPE_PEM) != 1)
    die("--key %s: %s", w->flags->key, ERR_reason_error_string(ERR_peek_last_error()));
  static const unsigned char name[] = "bare";
  SSL_CTX_set_session_id_context(context, name, sizeof name - 1);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_SERVER);
  SSL_CTX_set_tlsext_ticket_keys(context, g_ticket_keys, kTicketKeysSize);
  SSL_CTX_set_alpn_select_cb(context, choose_http1, NULL);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  t_context = context;
  answers_start(w);
}

static const struct program kTls = {
    .name = "bare-tls",
    .takes = kTakesTls,
    .conn_size = sizeof(struct tls_conn),
    .start = start,
    .date_changed = answers_date_changed,
    .opened = opened,
    .readable = readable,
    .closing = closing,
};

int main(int argc, char** argv) {
  if (RAND_bytes(g_ticket_keys, sizeof g_ticket_keys) != 1) return 1;
  make_socket_method();
  return serve(&kTls, argc, argv);
}
