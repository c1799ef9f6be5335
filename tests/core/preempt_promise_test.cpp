// With one P and any number of goroutines that hold on to it, wrapped or not, the others go on.
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/runtime.h>
#include <treadle/timer.h>

#include "core/pipe.h"
#include "support/goroutine.h"

namespace treadle {
namespace {

using test::Pipe;
using test::Task;
using namespace std::chrono_literals;

// One P, whatever the test was started with.
class PreemptPromise : public ::testing::Test {
 protected:
  PreemptPromise() : before_(set_max_procs(1)) {}
  ~PreemptPromise() override { set_max_procs(before_); }
  const int before_;
};

// Starts `stuck` and sees the others live while it is: sleeps end, goroutines start and talk, more
// often than one slice would allow. Then `release` lets it go on.
void others_live_beside(const std::function<void()>& stuck, const std::function<void()>& release) {
  test::run([&] {
    std::atomic<bool> begun{false}, ended{false};
    Task task([&] {
      begun = true;
      stuck();
      ended = true;
    });
    while (!begun) gosched();
    for (int i = 0; i < 20; ++i) {
      EXPECT_TRUE(sleep(200us));
      auto ch = make_chan<int>();
      go([ch, i] { ch.send(i); });
      EXPECT_EQ(ch.recv(), i);
    }
    EXPECT_FALSE(ended) << "it was not stuck";
    release();
  });
}

TEST_F(PreemptPromise, BesideALoopThatCallsNothing) {
  std::atomic<bool> stop{false};
  others_live_beside(
      [&] {
        while (!stop.load(std::memory_order_relaxed)) {
        }
      },
      [&] { stop = true; });
}

TEST_F(PreemptPromise, BesideManyLoopsThatCallNothing) {
  std::atomic<bool> stop{false};
  test::run([&] {
    std::vector<std::unique_ptr<Task>> tasks;
    for (int i = 0; i < 8; ++i)
      tasks.push_back(std::make_unique<Task>([&] {
        while (!stop.load(std::memory_order_relaxed)) {
        }
      }));
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(sleep(1ms));
    stop = true;
  });
}

TEST_F(PreemptPromise, BesideAReadInAThirdPartysLibrary) {
  void* library = ::dlopen(TREADLE_TEST_THIRD_PARTY, RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << ::dlerror();
  const auto read = reinterpret_cast<int (*)(int)>(::dlsym(library, "third_party_read"));
  ASSERT_NE(read, nullptr);
  const Pipe pipe;
  others_live_beside([&] { EXPECT_EQ(read(pipe.read_end()), 'x'); }, [&] { pipe.write_byte('x'); });
  ::dlclose(library);
}

// Storage that answers when we let it: a page whose fault a user space handler resolves late.
class SlowPage {
 public:
  bool open() {
    fd_ = static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY));
    if (fd_ < 0) fd_ = static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC));
    if (fd_ < 0) return false;
    uffdio_api api{};
    api.api = UFFD_API;
    size_ = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    page_ = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uffdio_register reg{};
    reg.range = {reinterpret_cast<std::uintptr_t>(page_), size_};
    reg.mode = UFFDIO_REGISTER_MODE_MISSING;
    return ::ioctl(fd_, UFFDIO_API, &api) == 0 && ::ioctl(fd_, UFFDIO_REGISTER, &reg) == 0;
  }
  ~SlowPage() {
    if (page_) ::munmap(page_, size_);
    if (fd_ >= 0) ::close(fd_);
  }
  char touch() const { return *static_cast<volatile char*>(page_); }
  void answer() const {
    std::vector<char> content(size_, 'p');
    uffdio_copy copy{};
    copy.dst = reinterpret_cast<std::uintptr_t>(page_);
    copy.src = reinterpret_cast<std::uintptr_t>(content.data());
    copy.len = size_;
    if (::ioctl(fd_, UFFDIO_COPY, &copy) != 0) ADD_FAILURE() << std::strerror(errno);
  }

 private:
  int fd_ = -1;
  std::size_t size_ = 0;
  void* page_ = nullptr;
};

TEST_F(PreemptPromise, BesideAPageFaultOnSlowStorage) {
  SlowPage page;
  if (!page.open()) GTEST_SKIP() << "the kernel refuses userfaultfd: " << std::strerror(errno);
  others_live_beside([&] { EXPECT_EQ(page.touch(), 'p'); }, [&] { page.answer(); });
}

// A name server that never answers: the call waits inside the C library.
class SilentNameServer {
 public:
  SilentNameServer() : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address_;
    if (::bind(fd_, reinterpret_cast<sockaddr*>(&any), sizeof any) != 0 ||
        ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address_), &size) != 0)
      ADD_FAILURE() << std::strerror(errno);
  }
  ~SilentNameServer() { ::close(fd_); }
  // The calling thread's resolver asks here, once, for a second.
  [[gnu::noinline]] void use_in_this_thread() const {
    ::res_init();
    _res.nscount = 1;
    _res.nsaddr_list[0] = address_;
    _res.retrans = 1;
    _res.retry = 1;
  }

 private:
  int fd_;
  sockaddr_in address_{};
};

TEST_F(PreemptPromise, BesideAGetaddrinfoWithoutAnAnswer) {
  const SilentNameServer server;
  others_live_beside(
      [&] {
        server.use_in_this_thread();
        addrinfo hints{};
        hints.ai_family = AF_INET;
        addrinfo* found = nullptr;
        EXPECT_NE(::getaddrinfo("nowhere.invalid.", "80", &hints, &found), 0);
        ::res_init();
      },
      [] {});
}

// One that enters the runtime all the time but never waits is made to yield, at calls that park and
// at those that do not.
TEST_F(PreemptPromise, BesideOneThatEntersButNeverWaits) {
  std::atomic<bool> stop{false};
  others_live_beside(
      [&] {
        auto ch = make_chan<int>(1);
        while (!stop) {
          ch.send(1);
          (void)ch.recv();
        }
      },
      [&] { stop = true; });
  stop = false;
  others_live_beside(
      [&] {
        auto ch = make_chan<int>(1);
        while (!stop) {
          (void)ch.try_send(1);
          (void)ch.try_recv();
        }
      },
      [&] { stop = true; });
}

}  // namespace
}  // namespace treadle
