#include "client.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>

#include <treadle/timer.h>

#include "cases.h"

namespace instructions {

namespace {

using treadle::detail::PollMode;

constexpr std::chrono::milliseconds kPatience(10'000);

std::string repeat(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

[[noreturn]] void give_up_errno(const char* what) {
  give_up(std::string(what) + ": " + std::strerror(errno));
}

int connect_to(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) give_up_errno("socket");
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) give_up_errno("connect");
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

// What has come: 0 when nothing has.
std::size_t receive_now(int fd, char* into, std::size_t size) {
  const ssize_t n = ::recv(fd, into, size, MSG_DONTWAIT);
  if (n > 0) return static_cast<std::size_t>(n);
  if (n == 0) give_up("the server closed a connection");
  if (errno != EAGAIN && errno != EINTR) give_up_errno("recv");
  return 0;
}

// The length of the answer at the beginning of `text`, head and body; 0 when its head is not whole.
std::size_t answer_length(std::string_view text) {
  const auto end = text.find("\r\n\r\n");
  if (end == std::string_view::npos) return 0;
  constexpr std::string_view kField = "\r\nContent-Length: ";
  const auto field = text.substr(0, end).find(kField);
  if (field == std::string_view::npos) give_up("an answer without Content-Length");
  std::size_t body = 0;
  const char* digits = text.data() + field + kField.size();
  if (std::from_chars(digits, text.data() + end, body).ec != std::errc())
    give_up("an answer whose Content-Length is no number");
  return end + 4 + body;
}

}  // namespace

Clients::Clients(std::uint16_t port, Exchange exchange)
    : exchange_(std::move(exchange)), burst_(repeat(exchange_.request, exchange_.depth)) {
  for (int& fd : sockets_) fd = connect_to(port);
  const int last = connect_to(port);
  if (::fcntl(last, F_SETFL, O_NONBLOCK) != 0) give_up_errno("fcntl");
  auto watched = treadle::detail::Pollable::open(last);
  if (!watched) give_up("the poller does not take a client's socket");
  last_ = std::move(*watched);
  // One after the other, so that all are accepted, in this order.
  for (int i = 0; i < kConnections; ++i) {
    send_burst(socket_of(i));
    first_answers(socket_of(i));
  }
}

Clients::~Clients() {
  for (const int fd : sockets_) ::close(fd);
}

int Clients::socket_of(int connection) const noexcept {
  return connection < kConnections - 1 ? sockets_[connection] : last_.fd();
}

void Clients::send_burst(int fd) const {
  const ssize_t n = ::send(fd, burst_.data(), burst_.size(), MSG_NOSIGNAL);
  if (n < 0) give_up_errno("send");
  if (static_cast<std::size_t>(n) != burst_.size()) give_up("a socket took only part of a request");
}

// Learns how long an answer is. The server gets the P while we wait.
void Clients::first_answers(int fd) {
  const auto until = treadle::Deadline::after(kPatience);
  buffer_.resize(1 << 20);
  std::size_t have = 0;
  while (have == 0 || have < answers_size()) {
    if (until.passed()) give_up("no answer in 10 s; so far: " + buffer_.substr(0, have));
    if (auto r = treadle::sleep(std::chrono::milliseconds(1)); !r) give_up("sleep failed");
    if (have == buffer_.size()) give_up("an answer of more than 1 MiB");
    have += receive_now(fd, buffer_.data() + have, buffer_.size() - have);
    const std::size_t length = answer_length({buffer_.data(), have});
    if (answer_ != 0 && length != 0 && length != answer_) give_up("answers differ in length");
    answer_ = length;
  }
  check({buffer_.data(), have});
}

// Now and then a goroutine waits for another one (a file is looked at anew once a second), and the
// last answer is not the last to be written.
void Clients::wait_for_all() {
  if (!last_.wait(PollMode::read)) give_up("the wait for the last answer failed");
  const auto until = treadle::Deadline::after(kPatience);
  while (!all_answered()) {
    if (until.passed()) give_up("not every answer came in 10 s, whole and as long as the first");
    if (!treadle::sleep(std::chrono::milliseconds(1))) give_up("sleep failed");
  }
}

bool Clients::all_answered() const {
  const NotCounted ours;
  for (int i = 0; i < kConnections; ++i) {
    int come = 0;
    if (::ioctl(socket_of(i), FIONREAD, &come) != 0) give_up_errno("FIONREAD");
    if (static_cast<std::size_t>(come) < answers_size()) return false;
  }
  return true;
}

void Clients::take_answers(int fd) {
  std::size_t have = 0;
  // One byte more than there should be.
  while (const std::size_t n = receive_now(fd, buffer_.data() + have, answers_size() + 1 - have))
    have += n;
  check({buffer_.data(), have});
}

void Clients::check(std::string_view answers) const {
  if (answers.size() != answers_size()) give_up("more answers than requests");
  const std::string start = "HTTP/1.1 " + std::to_string(exchange_.status) + " ";
  for (std::size_t at = 0; at < answers.size(); at += answer_)
    if (!answers.substr(at).starts_with(start))
      give_up("an answer is not " + start + "but: " + std::string(answers.substr(at, 60)));
}

void Clients::drive(std::int64_t n) {
  for (std::int64_t done = 0; done < n; done += round()) {
    {
      const NotCounted ours;
      if (!last_.prepare(PollMode::read)) give_up("a client's socket is closed");
      for (int i = 0; i < kConnections; ++i) send_burst(socket_of(i));
    }
    wait_for_all();
    const NotCounted ours;
    for (int i = 0; i < kConnections; ++i) take_answers(socket_of(i));
  }
}

}  // namespace instructions
