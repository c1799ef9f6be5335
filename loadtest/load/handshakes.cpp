// handshakes: TLS connections that do a handshake, full or resumed, and end: close_notify, then the
// server's end of the stream. Several at a time; prints one line of JSON. No request is made, so
// that the server's cost is the handshake's: accept, keys, signature, tickets, close.
#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <utility>

#include "driver.h"
#include "flags.h"
#include "keep_alive.h"
#include "stream.h"

namespace {

// The session that resumed handshakes offer: the last one that a server gave us.
SSL_SESSION* session = nullptr;

int keep_session(SSL*, SSL_SESSION* fresh) {
  if (session) SSL_SESSION_free(session);
  session = fresh;
  return 1;  // ours now
}

class Handshake final : public load::Client {
 public:
  Handshake(const load::Target& target, bool resumed) : target_(target), resumed_(resumed) {}

  load::Step start() override {
    over_ = false;
    if (!stream_.open(target_, this, resumed_ ? session : nullptr)) return fail(stream_.error());
    return ready();
  }

  load::Step ready() override {
    if (!stream_.is_open()) return load::Step::pending;
    if (!over_) {
      const long n = stream_.handshake();
      if (n == load::Stream::kAgain) return load::Step::pending;
      if (n <= 0) return fail(n == 0 ? "the server closed in the handshake" : stream_.error());
      if (resumed_ != (SSL_session_reused(stream_.ssl()) == 1))
        return fail(resumed_ ? "the server did not resume the session" : "a session was resumed");
      over_ = true;
      stream_.finish();
    }
    char buffer[4096];  // nothing comes but tickets, which OpenSSL takes
    for (;;) {
      const long n = stream_.read(buffer, sizeof buffer);
      if (n == load::Stream::kAgain) return load::Step::pending;
      if (n < 0) return fail(stream_.error());
      if (n == 0) break;
    }
    stream_.close();
    return load::Step::done;
  }

  bool restarts() const override { return true; }
  const std::string& error() const override { return error_; }

 private:
  load::Step fail(std::string why) {
    error_ = std::move(why);
    stream_.close();
    return load::Step::failed;
  }

  const load::Target& target_;
  const bool resumed_;
  load::Stream stream_;
  bool over_ = false;
  std::string error_;
};

}  // namespace

int main(int argc, char** argv) {
  load::Flags flags(argc, argv,
                    std::string("usage: handshakes --port N [flags]\n"
                                "  --connections N  at a time (32)\n"
                                "  --resumed     with a ticket of a full one\n") +
                        load::Driver::usage);
  const load::Plan plan = load::Plan::from(flags);
  SSL_CTX* context = load::make_client_context();
  load::Target target = load::target_from(flags, context);
  const bool resumed = flags.given("resumed");
  const auto connections = flags.integer("connections", 32, 1, 10000);
  flags.done();

  load::Driver driver(plan);
  target.epoll = driver.epoll();
  if (resumed) {
    // One full handshake brings the session; it stays the same one for all that follow.
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, keep_session);
    load::Driver first{load::Plan{}};
    load::Target there = target;
    there.epoll = first.epoll();
    first.add(std::make_unique<Handshake>(there, false));
    first.once(1);
    // With a client's cache on, OpenSSL would let a session of TLS 1.3 be used but once.
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_sess_set_new_cb(context, nullptr);
    if (!session) load::die("the server gave no session ticket");
  }
  for (int i = 0; i < connections; ++i) driver.add(std::make_unique<Handshake>(target, resumed));
  driver.measure();
  return driver.errors() == 0 ? 0 : 1;
}
