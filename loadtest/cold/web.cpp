#include "web.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <random>
#include <string_view>
#include <thread>

#include "cold.h"
#include "cold_file.h"

namespace cold {

namespace {

std::string name_of(std::size_t i) {
  std::string name = std::to_string(i);
  return std::string(6 - name.size(), '0') + name;
}

std::int64_t cpu_of(pid_t process) {
  // As clock_getcpuclockid() makes it: the CPU time of a process, its ended threads included.
  const auto clock = static_cast<clockid_t>((~static_cast<unsigned>(process) << 3) | 2U);
  timespec t{};
  if (::clock_gettime(clock, &t) != 0) fail("the server is gone", errno);
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

std::int64_t disk_bytes_of(pid_t process) {
  std::ifstream in("/proc/" + std::to_string(process) + "/io");
  for (std::string name; in >> name;)
    if (std::int64_t value = 0; name == "read_bytes:" && in >> value) return value;
  return 0;
}

// Of the threads that it has now.
std::int64_t switches_of(pid_t process) {
  std::int64_t sum = 0;
  for (const auto& task :
       std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/task")) {
    std::ifstream in(task.path() / "status");
    for (std::string name; in >> name;)
      if (std::int64_t n = 0; name.ends_with("voluntary_ctxt_switches:") && in >> n) sum += n;
  }
  return sum;
}

// How long each file is. Asked to, it makes all of them cold.
std::size_t prepare(const Asking& asking) {
  std::size_t length = 0;
  for (std::size_t i = 0; i < asking.count; ++i) {
    const std::string path = asking.directory + "/" + name_of(i);
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) fail(path, errno);
    struct stat s{};
    if (::fstat(fd, &s) != 0) fail(path, errno);
    length = static_cast<std::size_t>(s.st_size);
    if (asking.make_cold) make_cold(fd, length);
    ::close(fd);
  }
  return length;
}

class Client {
 public:
  explicit Client(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = ::htons(port);
    to.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    timeval limit{10, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
      fail("connect", errno);
  }
  ~Client() { ::close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void get(const std::string& name, std::size_t length) {
    const std::string request = "GET /" + name + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
    if (::send(fd_, request.data(), request.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(request.size()))
      fail("send", errno);
    std::size_t got = 0;
    while (head_of(got) == 0) got += receive(got);
    const std::size_t all = head_of(got) + length;
    while (got < all) got += receive(0);
    if (got != all) fail("more than an answer");
  }

 private:
  static constexpr std::size_t kRoom = 64 * 1024;

  // The length of the head among the first `got` bytes; 0: it is not all there.
  std::size_t head_of(std::size_t got) const {
    const std::string_view text(room_.data(), got);
    const std::size_t end = text.find("\r\n\r\n");
    if (end == std::string_view::npos) return 0;
    if (!text.starts_with("HTTP/1.1 200 ")) fail("answered with an error");
    return end + 4;
  }
  std::size_t receive(std::size_t at) {
    if (at == kRoom) fail("a head without end");
    const ssize_t n = ::recv(fd_, room_.data() + at, kRoom - at, 0);
    if (n <= 0) fail("no answer", n < 0 ? errno : 0);
    return static_cast<std::size_t>(n);
  }

  const int fd_;
  std::vector<char> room_ = std::vector<char>(kRoom);
};

}  // namespace

void make_files(const std::string& directory, std::size_t count, std::size_t bytes) {
  std::mt19937_64 random(2);
  std::vector<std::uint64_t> content((bytes + 7) / 8);
  for (std::size_t i = 0; i < count; ++i) {
    const std::string path = directory + "/" + name_of(i);
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) fail(path, errno);
    std::ranges::generate(content, random);
    const ssize_t n = ::write(fd, content.data(), bytes);
    if (n != static_cast<ssize_t>(bytes)) fail(path, n < 0 ? errno : ENOSPC);
    ::close(fd);
  }
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || ::syncfs(fd) != 0) fail(directory, errno);
  ::close(fd);
}

void get_files(const Asking& asking) {
  const std::size_t length = prepare(asking);
  std::vector<std::size_t> order(asking.count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::shuffle(order, std::mt19937_64(3));
  std::atomic<std::size_t> next{0};
  const std::int64_t cpu = cpu_of(asking.server);
  const std::int64_t disk = disk_bytes_of(asking.server);
  const std::int64_t switches = switches_of(asking.server);
  const std::int64_t begin = now();
  {
    std::vector<std::jthread> threads;
    for (std::size_t c = 0; c < asking.connections; ++c)
      threads.emplace_back([&] {
        Client client(asking.port);
        for (std::size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < asking.count;)
          client.get(name_of(order[i]), length);
      });
  }
  const auto n = static_cast<double>(asking.count);
  const auto each = [n](std::int64_t from, std::int64_t to) {
    return static_cast<double>(to - from) / n;
  };
  const double wall = each(begin, now());
  const double cpu_each = each(cpu, cpu_of(asking.server));
  std::printf("us %.3f\nmb_s %.1f\ncpu_us %.3f\nbusy %.3f\nfrom_disk %.3f\nswitches %.2f\n",
              wall / 1e3, static_cast<double>(length) * 1e3 / wall, cpu_each / 1e3, cpu_each / wall,
              each(disk, disk_bytes_of(asking.server)) / static_cast<double>(length),
              each(switches, switches_of(asking.server)));
}

}  // namespace cold
