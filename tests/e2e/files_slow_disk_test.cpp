// A disk that does not answer holds up the request that waits for it, and nobody else, though there
// is one P only. The disk is slow at one system call at a time: the server runs under a seccomp
// filter that hands that call to this test, which lets it wait.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "app.h"
#include "files_fixture.h"

namespace treadle::test {
namespace {

enum class Cache { warm, cold };

// A cold cache has nothing for reads that ask it alone.
int filter_calls(const std::vector<long>& calls, Cache cache) {
  std::vector<sock_filter> program = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  const auto answer = [&](long call, std::uint32_t with) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(call), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, with));
  };
  for (const long call : calls) answer(call, SECCOMP_RET_USER_NOTIF);
  if (cache == Cache::cold) answer(SYS_preadv2, SECCOMP_RET_ERRNO | EAGAIN);
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  return static_cast<int>(
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter));
}

union Control {
  cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int))];
};

bool send_descriptor(int socket, int fd) {
  char byte = 0;
  iovec part{&byte, 1};
  Control control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = &control;
  message.msg_controllen = sizeof control;
  cmsghdr* c = CMSG_FIRSTHDR(&message);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(c), &fd, sizeof fd);
  return ::sendmsg(socket, &message, 0) == 1;
}

int receive_descriptor(int socket) {
  char byte = 0;
  iovec part{&byte, 1};
  Control control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = &control;
  message.msg_controllen = sizeof control;
  if (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1) return -1;
  const cmsghdr* c = CMSG_FIRSTHDR(&message);
  if (c == nullptr || c->cmsg_type != SCM_RIGHTS) return -1;
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(c), sizeof fd);
  return fd;
}

// treadle-files under such a filter, with one P.
class SlowServer {
 public:
  SlowServer(const Tree& tree, const std::vector<long>& calls, Cache cache) {
    const std::string config = tree.top() / "files.toml";
    std::ofstream(config) << "[files]\nlisting = true\nopen_files = 0\nprecompressed = false\n";
    std::vector<std::string> command = app_command(
        "treadle-files",
        {"--listen", "127.0.0.1:0", "--procs", "1", "--root", tree.root(), "--config", config});
    std::vector<char*> argv;
    argv.reserve(command.size() + 1);
    for (std::string& word : command) argv.push_back(word.data());
    argv.push_back(nullptr);
    int pair[2];
    int output[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 ||
        ::pipe2(output, O_CLOEXEC) != 0)
      return;
    pid_ = ::fork();
    if (pid_ == 0) {
      ::alarm(200);
      ::dup2(output[1], STDERR_FILENO);
      ::dup2(output[1], STDOUT_FILENO);
      const int listener = filter_calls(calls, cache);
      if (listener < 0 || !send_descriptor(pair[1], listener)) ::_exit(77);
      ::execv(argv[0], argv.data());
      ::_exit(78);
    }
    ::close(pair[1]);
    ::close(output[1]);
    listener_ = receive_descriptor(pair[0]);
    ::close(pair[0]);
    output_ = output[0];
    if (listener_ < 0) return;
    supervisor_ = std::thread([this] { supervise(); });
    read_port();
  }
  ~SlowServer() {
    release();
    if (pid_ > 0) ::kill(pid_, SIGTERM);
    int status = 0;
    if (pid_ > 0) ::waitpid(pid_, &status, 0);
    if (supervisor_.joinable()) {
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
      supervisor_.join();
    }
    ::close(listener_);
    ::close(output_);
  }
  SlowServer(const SlowServer&) = delete;
  SlowServer& operator=(const SlowServer&) = delete;

  bool available() const { return listener_ >= 0; }
  std::uint16_t port() const { return port_; }

  // The next call of these waits until release().
  void hold_next() {
    const std::lock_guard guard(lock_);
    armed_ = true;
  }
  void wait_until_held() {
    for (const TimePoint limit = Clock::now() + patience(); Clock::now() < limit;) {
      {
        const std::lock_guard guard(lock_);
        if (held_) return;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    ADD_FAILURE() << "the call was not made";
  }
  void release() {
    const std::lock_guard guard(lock_);
    armed_ = false;
    if (held_) let_go(*held_);
    held_.reset();
  }

 private:
  void let_go(std::uint64_t id) const {
    seccomp_notif_resp answer{};
    answer.id = id;
    answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    ::ioctl(listener_, SECCOMP_IOCTL_NOTIF_SEND, &answer);
  }
  // Ends with the last thread under the filter.
  void supervise() {
    for (;;) {
      pollfd p{listener_, POLLIN, 0};
      ::poll(&p, 1, -1);
      if ((p.revents & POLLIN) == 0) return;
      seccomp_notif call{};
      if (::ioctl(listener_, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) continue;
      const std::lock_guard guard(lock_);
      if (armed_ && !held_)
        held_ = call.id;
      else
        let_go(call.id);
    }
  }
  void read_port() {
    std::string said;
    char c = 0;
    while (::read(output_, &c, 1) == 1) {
      said.push_back(c);
      const std::size_t at = said.find("127.0.0.1:");
      unsigned port = 0;
      if (c != '\n' || at == std::string::npos) continue;
      std::sscanf(said.c_str() + at, "127.0.0.1:%u", &port);
      port_ = static_cast<std::uint16_t>(port);
      return;
    }
    ADD_FAILURE() << said;
  }

  pid_t pid_ = -1;
  int listener_ = -1;
  int output_ = -1;
  std::uint16_t port_ = 0;
  std::thread supervisor_;
  std::mutex lock_;  // guards:
  bool armed_ = false;
  std::optional<std::uint64_t> held_;
};

struct SlowCall {
  const char* name;
  std::vector<long> calls;  // names of one thing
  const char* path;
  std::size_t size;  // of its content; 0: not asked
  Cache cache = Cache::cold;
};

class FilesSlowDisk : public testing::TestWithParam<SlowCall> {};

INSTANTIATE_TEST_SUITE_P(
    FilesSlowDiskAt, FilesSlowDisk,
    testing::Values(SlowCall{"open", {SYS_openat2}, "/hello.txt", 14},
                    SlowCall{"stat", {SYS_newfstatat, SYS_fstat}, "/hello.txt", 14},
                    SlowCall{"read", {SYS_pread64}, "/hello.txt", 14},
                    SlowCall{"sendfile", {SYS_sendfile}, "/big.bin", 1'000'000},
                    // It seems cached, so that there is no hint: the P is lost all the same.
                    SlowCall{
                        "sendfileAfterAll", {SYS_sendfile}, "/big.bin", 1'000'000, Cache::warm},
                    SlowCall{"close", {SYS_close}, "/hello.txt", 14},
                    SlowCall{"getdents", {SYS_getdents64}, "/sub/deep/", 0}),
    [](const auto& call) { return call.param.name; });

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kLeaksChecked = true;
#elif defined(__has_feature)
constexpr bool kLeaksChecked = __has_feature(address_sanitizer);
#else
constexpr bool kLeaksChecked = false;
#endif

TEST_P(FilesSlowDisk, OthersAreServedMeanwhile) {
  if (kLeaksChecked)
    GTEST_SKIP() << "the leak check makes the same calls and would be held for good";
  const SlowCall& call = GetParam();
  const Tree tree;
  SlowServer server(tree, call.calls, call.cache);
  if (!server.available()) GTEST_SKIP() << "this process may not set a seccomp filter";
  server.hold_next();
  RawClient waiting(server.port());
  ASSERT_TRUE(waiting.send(get(call.path)));
  server.wait_until_held();
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(fetch(server.port(), get("/page.HTML")).body, "<p>page</p>");
    EXPECT_EQ(fetch(server.port(), get("/big.bin")).body.size(), 1'000'000U);
    EXPECT_EQ(fetch(server.port(), get("/sub/deep/")).status, 200);
  }
  server.release();
  const RawResponse r = waiting.read_response();
  EXPECT_EQ(r.status, 200);
  if (call.size > 0) {
    EXPECT_EQ(r.body.size(), call.size);
  }
}

}  // namespace
}  // namespace treadle::test
