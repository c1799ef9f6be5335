// churn: a connection for each request, with "Connection: close", read to the server's end of the
// stream. Several at a time, at a fixed rate or as fast as they end; prints one line of JSON.
#include <memory>
#include <string>
#include <utility>

#include "driver.h"
#include "flags.h"
#include "keep_alive.h"
#include "response.h"
#include "stream.h"

namespace {

class OneRequest final : public load::Client {
 public:
  OneRequest(const load::Target& target, const load::Request& request)
      : target_(target), request_(request), response_(request.length) {}

  load::Step start() override {
    sent_ = 0;
    response_.reset();
    if (!stream_.open(target_, this)) return fail(stream_.error());
    return send();
  }

  load::Step ready() override {
    if (!stream_.is_open()) return load::Step::pending;
    if (send() == load::Step::failed) return load::Step::failed;
    return read();
  }

  bool restarts() const override { return true; }
  const std::string& error() const override { return error_; }

 private:
  load::Step send() {
    while (sent_ < request_.bytes.size()) {
      const long n = stream_.write(request_.bytes.data() + sent_, request_.bytes.size() - sent_);
      if (n == load::Stream::kAgain) break;
      if (n < 0) return fail(stream_.error());
      sent_ += static_cast<std::size_t>(n);
    }
    return load::Step::pending;
  }

  load::Step read() {
    char buffer[16384];
    for (;;) {
      const long n = stream_.read(buffer, sizeof buffer);
      if (n == load::Stream::kAgain) return load::Step::pending;
      if (n < 0) return fail(stream_.error());
      if (n == 0) break;
      if (response_.feed(buffer, static_cast<std::size_t>(n)) == load::Response::State::bad)
        return fail(response_.error());
    }
    if (response_.state() != load::Response::State::complete)
      return fail("the server closed before its response was whole");
    stream_.close();
    return load::Step::done;
  }

  load::Step fail(std::string why) {
    error_ = std::move(why);
    stream_.close();
    return load::Step::failed;
  }

  const load::Target& target_;
  const load::Request& request_;
  load::Stream stream_;
  load::Response response_;
  std::size_t sent_ = 0;
  std::string error_;
};

}  // namespace

int main(int argc, char** argv) {
  load::Flags flags(argc, argv,
                    std::string("usage: churn --port N [flags]\n"
                                "  --connections N  at a time (64)\n"
                                "  --tls         over TLS, without checking the certificate\n") +
                        load::Request::usage + load::Driver::usage);
  const load::Plan plan = load::Plan::from(flags);
  load::Target target =
      load::target_from(flags, flags.given("tls") ? load::make_client_context() : nullptr);
  const load::Request request = load::Request::from(flags, target.port, true);
  const auto connections = flags.integer("connections", 64, 1, 10000);
  flags.done();

  load::Driver driver(plan);
  target.epoll = driver.epoll();
  for (int i = 0; i < connections; ++i) driver.add(std::make_unique<OneRequest>(target, request));
  driver.measure();
  return driver.errors() == 0 ? 0 : 1;
}
