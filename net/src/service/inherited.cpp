#include "service/inherited.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <ranges>

namespace treadle::net::service {
namespace {

constexpr int kFirstFd = 3;  // SD_LISTEN_FDS_START
constexpr int kMostFds = 1024;

template <class T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Up to the first `mark`; `text` moves behind it.
std::string_view take(std::string_view& text, char mark) {
  const std::size_t at = text.find(mark);
  const std::string_view word = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return word;
}

std::optional<int> descriptor(std::string_view text) {
  const auto fd = number<int>(text);
  return fd && *fd >= kFirstFd ? fd : std::nullopt;
}

using Matches = std::vector<std::optional<std::size_t>>;

Matches match_by_address(const Inheritance& i, const std::vector<WantedSocket>& wanted) {
  Matches found(wanted.size());
  std::vector<bool> used(i.sockets.size());
  for (std::size_t w = 0; w < wanted.size(); ++w) {
    for (std::size_t s = 0; s < i.sockets.size() && !found[w]; ++s)
      if (!used[s] && i.sockets[s].name == wanted[w].address) found[w] = s;
    if (found[w]) used[*found[w]] = true;
  }
  return found;
}

}  // namespace

std::expected<Inheritance, std::string> parse_activation(std::string_view pid, std::string_view fds,
                                                         std::string_view names, pid_t self) {
  Inheritance out;
  if (pid.empty() || fds.empty()) return out;
  const auto meant = number<pid_t>(pid);
  if (!meant) return std::unexpected(fmt::format("LISTEN_PID \"{}\" is no process", pid));
  if (*meant != self) return out;
  const auto count = number<int>(fds);
  if (!count || *count < 0 || *count > kMostFds)
    return std::unexpected(
        fmt::format("LISTEN_FDS \"{}\" is not a number from 0 to {}", fds, kMostFds));
  for (int fd = kFirstFd; fd < kFirstFd + *count; ++fd)
    out.sockets.push_back({.fd = fd, .name = std::string(take(names, ':'))});
  if (!names.empty())
    return std::unexpected(fmt::format("LISTEN_FDNAMES has more names than LISTEN_FDS {}", fds));
  return out;
}

std::string format_handover(const Inheritance& i) {
  std::string text = fmt::format("ready {}", i.ready_fd);
  for (const InheritedSocket& s : i.sockets)
    text += fmt::format("\nsocket {} {} {} {}", s.fd, s.inode, s.owns_file ? "file" : "-", s.name);
  return text;
}

std::expected<Inheritance, std::string> parse_handover(std::string_view text) {
  Inheritance out;
  out.from_predecessor = true;
  const auto bad = [](std::string_view line) {
    return std::unexpected(fmt::format("{} has a line \"{}\"", kHandoverVariable, line));
  };
  while (!text.empty()) {
    const std::string_view line = take(text, '\n');
    std::string_view rest = line;
    const std::string_view kind = take(rest, ' ');
    const auto fd = descriptor(take(rest, ' '));
    if (!fd) return bad(line);
    if (kind == "ready" && rest.empty()) {
      out.ready_fd = *fd;
    } else if (kind == "socket") {
      const auto inode = number<std::uint64_t>(take(rest, ' '));
      const std::string_view file = take(rest, ' ');
      if (!inode || (file != "file" && file != "-") || rest.empty()) return bad(line);
      out.sockets.push_back({*fd, std::string(rest), *inode, file == "file"});
    } else {
      return bad(line);
    }
  }
  return out;
}

bool is_ours(const Inheritance& i) noexcept {
  struct stat s;
  if (::fstat(i.ready_fd, &s) != 0 || !S_ISFIFO(s.st_mode)) return false;
  return std::ranges::all_of(i.sockets, [&s](const InheritedSocket& socket) {
    return ::fstat(socket.fd, &s) == 0 && S_ISSOCK(s.st_mode) && s.st_ino == socket.inode;
  });
}

std::expected<Matches, std::string> match(const Inheritance& i,
                                          const std::vector<WantedSocket>& wanted) {
  if (i.from_predecessor) return match_by_address(i, wanted);
  if (i.sockets.size() > wanted.size())
    return std::unexpected(fmt::format("LISTEN_FDS brings {} sockets for {} configured addresses",
                                       i.sockets.size(), wanted.size()));
  Matches found(wanted.size());
  std::vector<std::size_t> unnamed;
  for (std::size_t s = 0; s < i.sockets.size(); ++s) {
    const auto place = std::ranges::find(wanted, i.sockets[s].name, &WantedSocket::name);
    const auto w = static_cast<std::size_t>(place - wanted.begin());
    if (place != wanted.end() && !found[w])
      found[w] = s;
    else
      unnamed.push_back(s);
  }
  auto next = unnamed.begin();
  for (auto& f : found)
    if (!f && next != unnamed.end()) f = *next++;
  return found;
}

}  // namespace treadle::net::service
