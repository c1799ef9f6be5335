#pragma once

#include <stddef.h>

#include <cstdint>
#include <string>

namespace load {

// Reads one response as its bytes come and checks it: status 200 and a Content-Length that is the
// expected one, no byte more.
class Response {
 public:
  enum class State { more, complete, bad };

  // `length` is that of the body; -1 takes any.
  explicit Response(std::int64_t length) : expected_(length) {}

  void reset();
  State feed(const char* data, size_t size);
  State state() const { return state_; }
  // Why it is bad.
  const std::string& error() const { return error_; }

 private:
  State head(const char* data, size_t size);
  State bad(std::string why);
  State body(std::int64_t bytes);

  std::int64_t expected_;
  std::int64_t left_ = 0;
  bool in_body_ = false;
  State state_ = State::more;
  std::string head_;  // what came of a head that is not whole yet
  std::string error_;
};

}  // namespace load
