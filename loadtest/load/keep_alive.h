#pragma once

#include <string>

#include "driver.h"
#include "response.h"
#include "stream.h"

namespace load {

// What a client of a kept connection asks.
struct Request {
  std::string bytes;         // the whole request
  std::int64_t length = -1;  // of the response's body
  bool raw = false;          // no HTTP: the same bytes must come back

  // --path, --post BYTES, --length BYTES, --raw BYTES.
  static Request from(Flags& flags, int port, bool close);
  static const char* usage;
};

// A client that keeps its connection and asks the same thing again and again. It connects with its
// first request; a connection that is lost stays lost.
class KeepAlive final : public Client {
 public:
  KeepAlive(const Target& target, const Request& request)
      : target_(target), request_(request), response_(request.length) {}

  Step start() override;
  Step ready() override;
  bool restarts() const override { return false; }
  const std::string& error() const override { return error_; }

 private:
  Step send();
  Step read();
  Step read_raw(const char* data, std::size_t size);
  Step fail(std::string why);

  const Target& target_;
  const Request& request_;
  Stream stream_;
  Response response_;
  std::size_t sent_ = 0;
  std::size_t echoed_ = 0;
  bool asking_ = false;
  std::string error_;
};

// The connection's flags: --port, --tls.
Target target_from(Flags& flags, SSL_CTX* context);

}  // namespace load
