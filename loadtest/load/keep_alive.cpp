#include "keep_alive.h"

#include <string.h>

namespace load {
namespace {

// One buffer for all: what was read is checked at once and not kept.
char buffer[256 * 1024];

}  // namespace

const char* Request::usage =
    "  --path P      to GET (/plaintext)\n"
    "  --post N      POST a body of N bytes there instead\n"
    "  --length N    what each response's body must measure (any)\n";

Request Request::from(Flags& flags, int port, bool close) {
  Request request;
  request.length = flags.integer("length", -1, -1, 1LL << 40);
  const std::string path = flags.text("path", "/plaintext");
  const auto post = flags.integer("post", -1, -1, 1LL << 30);
  request.bytes = (post < 0 ? "GET " : "POST ") + path +
                  " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(port) + "\r\n";
  if (post >= 0)
    request.bytes +=
        "Content-Type: application/octet-stream\r\nContent-Length: " + std::to_string(post) +
        "\r\n";
  if (close) request.bytes += "Connection: close\r\n";
  request.bytes += "\r\n";
  if (post > 0) request.bytes.append(static_cast<std::size_t>(post), 'x');
  return request;
}

Target target_from(Flags& flags, SSL_CTX* context) {
  Target target;
  target.port = static_cast<int>(flags.integer("port", 0, 0, 65535));
  if (target.port == 0) die("--port is needed");
  target.tls = context;
  return target;
}

Step KeepAlive::start() {
  if (!stream_.is_open() && !stream_.open(target_, this)) return fail(stream_.error());
  sent_ = echoed_ = 0;
  response_.reset();
  asking_ = true;
  // The answer's event will come: no read in vain now.
  return send();
}

Step KeepAlive::ready() {
  // Always both: the event is an edge, and may have told of room and of bytes at once.
  if (send() == Step::failed) return Step::failed;
  return read();
}

Step KeepAlive::send() {
  const std::string& bytes = request_.bytes;
  while (asking_ && sent_ < bytes.size()) {
    const long n = stream_.write(bytes.data() + sent_, bytes.size() - sent_);
    if (n == Stream::kAgain) break;
    if (n < 0) return fail(stream_.error());
    sent_ += static_cast<std::size_t>(n);
  }
  return Step::pending;
}

Step KeepAlive::read() {
  for (;;) {
    const long n = stream_.read(buffer, sizeof buffer);
    if (n == Stream::kAgain) return Step::pending;
    if (n < 0) return fail(stream_.error());
    if (n == 0) return fail("the server closed a kept connection");
    if (!asking_) return fail("bytes that nobody asked for");
    const auto size = static_cast<std::size_t>(n);
    if (request_.raw) {
      const Step step = read_raw(buffer, size);
      if (step != Step::pending) return step;
    } else {
      const Response::State state = response_.feed(buffer, size);
      if (state == Response::State::bad) return fail(response_.error());
      if (state == Response::State::complete) {
        asking_ = false;
        return Step::done;
      }
    }
  }
}

Step KeepAlive::read_raw(const char* data, std::size_t size) {
  if (echoed_ + size > request_.bytes.size()) return fail("more came back than was sent");
  if (memcmp(data, request_.bytes.data() + echoed_, size) != 0)
    return fail("other bytes came back");
  echoed_ += size;
  if (echoed_ < request_.bytes.size()) return Step::pending;
  asking_ = false;
  return Step::done;
}

Step KeepAlive::fail(std::string why) {
  error_ = std::move(why);
  asking_ = false;
  stream_.close();
  return Step::failed;
}

}  // namespace load
