#include "service/notify.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <limits>

#include <treadle/context.h>
#include <treadle/log.h>

#include "sys.h"

namespace treadle::net::service {
namespace {

constexpr int kTries = 20;
constexpr std::chrono::milliseconds kBetween{50};

// Out of line, as all that reads errno beside a park. Never blocks. -errno, or 0.
[[gnu::noinline]] int send_datagram(const SocketAddress& to, std::string_view text) noexcept {
  const sys::UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) return -errno;
  const ssize_t n = ::sendto(fd.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                             to.native(), to.native_size());
  return n < 0 ? -errno : 0;
}

template <class T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

Notifier::Notifier(std::string_view socket) {
  if (!socket.starts_with('/') && !socket.starts_with('@')) return;
  if (auto address = SocketAddress::parse("unix:" + std::string(socket))) manager_ = *address;
}

void Notifier::send(std::string_view state) const {
  if (!active()) return;
  // Also on the way out, when the caller's Context may have ended.
  const ContextScope scope(background());
  int r = send_datagram(manager_, state);
  for (int i = 0; i < kTries && (r == -EAGAIN || r == -ENOBUFS); ++i) {
    (void)sleep(kBetween);
    r = send_datagram(manager_, state);
  }
  if (r < 0)
    log::warn("the service manager could not be told {}: {}", state.substr(0, state.find('\n')),
              std::error_code(-r, std::system_category()).message());
}

std::string reloading_state(Duration monotonic_now) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(monotonic_now).count();
  return fmt::format("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=reading the configuration", us);
}

std::optional<Duration> watchdog_interval(std::string_view usec, std::string_view pid, pid_t self) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max() / 1000;
  const auto interval = number<std::int64_t>(usec);
  if (!interval || *interval <= 0 || *interval > kMost) return std::nullopt;
  if (!pid.empty() && number<pid_t>(pid) != self) return std::nullopt;
  return std::chrono::microseconds(*interval);
}

}  // namespace treadle::net::service
