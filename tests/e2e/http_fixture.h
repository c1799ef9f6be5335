// What the tests of the HTTP server share.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/http/server.h>
#include <treadle/wait_group.h>

#include "support/goroutine.h"
#include "support/raw_client.h"

namespace treadle::test {

using namespace std::chrono_literals;

// A server on a free port of 127.0.0.1, accepting on a goroutine of its own; shut down gracefully
// by the destructor. Call from a goroutine.
class RunningServer {
 public:
  template <class HandlerOrRouter>
  explicit RunningServer(HandlerOrRouter handler, http::ServerOptions options = {})
      : server_(std::make_unique<http::Server>(local(std::move(options)), std::move(handler))) {
    if (auto r = server_->listen(); !r) ADD_FAILURE() << "listen: " << r.error().message();
    served_.add(1);
    treadle::go([this] {
      result_ = server_->serve();
      served_.done();
    });
  }
  ~RunningServer() {
    // A test that left a connection open is not worth the wait.
    server_->shutdown(with_timeout(background(), 3s).context);
    join();
  }

  std::uint16_t port() const { return server_->address().port(); }
  http::Server& operator*() noexcept { return *server_; }
  http::Server* operator->() noexcept { return server_.get(); }

  // Waits for serve() to return.
  Result<void> join() {
    served_.wait();
    return result_;
  }

 private:
  static http::ServerOptions local(http::ServerOptions options) {
    options.address = "127.0.0.1:0";
    if (options.drain_idle == http::ServerOptions().drain_idle) options.drain_idle = 1ms;
    return options;
  }

  std::unique_ptr<http::Server> server_;
  WaitGroup served_;
  Result<void> result_;
};

// "GET /target HTTP/1.1" with what must stand in it, and further fields.
inline std::string get(std::string_view target, std::string_view fields = {}) {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: localhost\r\n" + std::string(fields) +
         "\r\n";
}
inline std::string post(std::string_view target, std::string_view body,
                        std::string_view fields = {}) {
  return "POST " + std::string(target) +
         " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(fields) + "\r\n" + std::string(body);
}
inline std::string head(std::string_view target, std::string_view fields = {}) {
  return "HEAD " + get(target, fields).substr(4);
}

// One exchange on a connection of its own.
inline RawResponse fetch(std::uint16_t port, std::string_view request,
                         RawClient::Request kind = RawClient::Request::other) {
  return RawClient(port).roundtrip(request, kind);
}

// Bytes that differ from place to place, so that a lost or doubled piece shows.
inline std::string pattern(std::size_t size) {
  std::string s(size, '\0');
  std::uint32_t x = 1;
  for (char& c : s) {
    x = x * 1664525 + 1013904223;
    c = static_cast<char>(x >> 24);
  }
  return s;
}

// A one-shot event, to be waited for by goroutines.
class Event {
 public:
  Event() { waiting_.add(1); }
  void set() { waiting_.done(); }
  void wait() { waiting_.wait(); }

 private:
  WaitGroup waiting_;
};

}  // namespace treadle::test
