// treadle-hold: holds many idle keep-alive connections to an HTTP server, each after one request,
// and meanwhile asks it on one more.
//
//   treadle-hold ADDR:PORT PATH CONNECTIONS PROBES
//
// Prints one line: HELD connections, probes, p50 and p99 and the slowest probe in microseconds.
// Ends with 1 when a connection or a probe fails, 2 on bad usage. With a fifth argument, a process
// id, it also prints that process's resident bytes before and while the connections are held.
#include <fmt/core.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <treadle/net/tcp.h>
#include <treadle/runtime.h>
#include <treadle/timer.h>

namespace {

namespace net = treadle::net;
using Conn = std::unique_ptr<net::TcpConn>;

struct Job {
  net::SocketAddress server;
  std::string request;
  int connections = 0;
  int probes = 0;
  int server_pid = 0;
};

// One request and its answer, which has a Content-Length. False when it is not 200, or incomplete.
bool ask(net::Conn& conn, const std::string& request) {
  if (!conn.write_all(request)) return false;
  std::string got;
  std::array<std::byte, 4096> buffer;
  for (;;) {
    const auto n = conn.read(buffer);
    if (!n || *n == 0) return false;
    got.append(reinterpret_cast<const char*>(buffer.data()), *n);
    const auto end = got.find("\r\n\r\n");
    if (end == std::string::npos) continue;
    if (!got.starts_with("HTTP/1.1 200")) return false;
    const auto at = got.find("Content-Length: ");
    std::size_t length = 0;
    if (at < end) std::from_chars(got.data() + at + 16, got.data() + end, length);
    if (got.size() >= end + 4 + length) return true;
  }
}

Conn connect(const Job& job) {
  auto conn = net::dial_tcp(job.server);
  if (!conn) {
    fmt::print(stderr, "treadle-hold: cannot connect: {}\n", conn.error().message());
    return nullptr;
  }
  (*conn)->set_deadline(treadle::Deadline::after(std::chrono::seconds(30)));
  return std::move(*conn);
}

long resident_kib(int pid) {
  std::ifstream in(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("VmRSS:")) return std::atol(line.c_str() + 6);
  return 0;
}

bool hold(const Job& job) {
  const long before = resident_kib(job.server_pid);
  std::vector<Conn> held;
  for (int i = 0; i < job.connections; ++i) {
    Conn conn = connect(job);
    if (!conn || !ask(*conn, job.request)) {
      fmt::print(stderr, "treadle-hold: connection {} of {} failed\n", i + 1, job.connections);
      return false;
    }
    held.push_back(std::move(conn));
  }
  const long while_held = resident_kib(job.server_pid);
  Conn probe = connect(job);
  if (!probe) return false;
  std::vector<std::int64_t> took;
  for (int i = 0; i < job.probes; ++i) {
    const auto begin = treadle::Clock::now();
    if (!ask(*probe, job.request)) {
      fmt::print(stderr, "treadle-hold: probe {} failed\n", i + 1);
      return false;
    }
    took.push_back((treadle::Clock::now() - begin).count() / 1000);
  }
  // Held to the end: each must still answer.
  for (Conn& conn : held)
    if (!ask(*conn, job.request)) {
      fmt::print(stderr, "treadle-hold: a held connection was lost\n");
      return false;
    }
  std::sort(took.begin(), took.end());
  fmt::print("HELD connections={} probes={} p50={} p99={} max={}", held.size(), took.size(),
             took[took.size() / 2], took[took.size() * 99 / 100], took.back());
  if (job.server_pid) fmt::print(" bytes_each={}", (while_held - before) * 1024 / job.connections);
  fmt::print("\n");
  return true;
}

int usage() {
  fmt::print(stderr, "usage: treadle-hold ADDR:PORT PATH CONNECTIONS PROBES [SERVER_PID]\n");
  return 2;
}

bool number(std::string_view text, int* to) {
  const auto r = std::from_chars(text.data(), text.data() + text.size(), *to);
  return r.ec == std::errc() && r.ptr == text.data() + text.size() && *to > 0;
}

}  // namespace

int main(int argc, char** argv) {
  Job job;
  if (argc < 5 || argc > 6 || !number(argv[3], &job.connections) || !number(argv[4], &job.probes) ||
      (argc == 6 && !number(argv[5], &job.server_pid)))
    return usage();
  const auto address = net::SocketAddress::parse(argv[1]);
  if (!address) return usage();
  job.server = *address;
  job.request = fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", argv[2], argv[1]);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  bool ok = false;
  treadle::run([&] { ok = hold(job); });
  return ok ? 0 : 1;
}
