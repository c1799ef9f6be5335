// Clients of an HTTP server in the same process, without treadle and without a thread.
//
// A round: each connection has sent its requests, and the server answers all of them. The clients'
// part (take the answers, look at them, send the next requests) is done by the goroutine that
// counts, which holds the only P meanwhile, in plain system calls and not counted. Then it parks
// until the last connection has its answer; the server finds all connections ready in one look at
// the network, as it does when it is busy. So every round is the same, instruction by instruction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <treadle/detail/poll_desc.h>

namespace instructions {

// What a client sends, and the status it expects for it. All answers are of the same length.
struct Exchange {
  std::string request;
  int status = 200;
  int depth = 1;  // requests sent at once
};

class Clients {
 public:
  static constexpr int kConnections = 64;

  // Connects to 127.0.0.1. Gives up, as all here, when anything fails.
  Clients(std::uint16_t port, Exchange exchange);
  ~Clients();
  Clients(const Clients&) = delete;
  Clients& operator=(const Clients&) = delete;

  // Requests in a round.
  int round() const noexcept { return kConnections * exchange_.depth; }
  // `n` requests: a multiple of round(). Parks.
  void drive(std::int64_t n);

 private:
  int socket_of(int connection) const noexcept;
  std::size_t answers_size() const noexcept {
    return answer_ * static_cast<std::size_t>(exchange_.depth);
  }
  void send_burst(int fd) const;
  void first_answers(int fd);
  void wait_for_all();
  bool all_answered() const;
  void take_answers(int fd);
  void check(std::string_view answers) const;

  const Exchange exchange_;
  const std::string burst_;        // the request, `depth` times
  std::size_t answer_ = 0;         // bytes of an answer, known after the first one
  std::string buffer_;             // for answers
  int sockets_[kConnections - 1];  // all but the last
  treadle::detail::Pollable last_;
};

}  // namespace instructions
