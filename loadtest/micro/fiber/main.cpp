// The microbenchmarks of treadle-micro, with Boost.Fiber: the same cases, batches and ways of
// counting, as far as it has them. One thread, its default scheduler (round robin).
//
//   micro-fiber CASE SECONDS     prints lines "metric value"
#include <boost/fiber/all.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace {

namespace fibers = boost::fibers;
using Body = std::function<void(std::int64_t)>;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Boost's counterpart of a WaitGroup.
class Gate {
 public:
  explicit Gate(std::int64_t n) : left_(n) {}
  void done() {
    if (--left_ == 0) zero_.notify_all();
  }
  void wait() {
    std::unique_lock hold(mutex_);
    zero_.wait(hold, [this] { return left_ == 0; });
  }

 private:
  std::int64_t left_;  // one thread: no lock
  fibers::mutex mutex_;
  fibers::condition_variable zero_;
};

// Stacks of the size treadle defaults to would need a mapping each; these are pooled.
fibers::pooled_fixedsize_stack stacks(std::size_t{16} << 10);

template <class F>
void go(F&& f) {
  fibers::fiber(fibers::launch::post, std::allocator_arg, stacks, std::forward<F>(f)).detach();
}

Body yield_among(int k) {
  return [k](std::int64_t n) {
    Gate gate(k);
    for (int i = 0; i < k; ++i)
      go([&gate, each = n / k] {
        for (std::int64_t j = 0; j < each; ++j) boost::this_fiber::yield();
        gate.done();
      });
    gate.wait();
  };
}

void ping_pong(std::int64_t n) {
  fibers::unbuffered_channel<int> ping;
  fibers::unbuffered_channel<int> pong;
  Gate gate(1);
  go([&] {
    int v = 0;
    while (ping.pop(v) == fibers::channel_op_status::success) pong.push(v);
    gate.done();
  });
  int v = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    ping.push(1);
    pong.pop(v);
  }
  ping.close();
  gate.wait();
}

// Boost's buffers hold a power of two, less one.
void stream(std::int64_t n) {
  fibers::buffered_channel<std::int64_t> ch(128);
  Gate gate(1);
  go([&] {
    for (std::int64_t i = 0; i < n; ++i) ch.push(i);
    ch.close();
    gate.done();
  });
  std::int64_t sum = 0;
  std::int64_t v = 0;
  while (ch.pop(v) == fibers::channel_op_status::success) sum += v;
  if (sum != n * (n - 1) / 2) std::abort();
  gate.wait();
}

void mutex_of_4(std::int64_t n) {
  fibers::mutex mutex;
  Gate gate(4);
  for (int i = 0; i < 4; ++i)
    go([&, each = n / 4] {
      for (std::int64_t j = 0; j < each; ++j) {
        mutex.lock();
        boost::this_fiber::yield();
        mutex.unlock();
      }
      gate.done();
    });
  gate.wait();
}

void batch_of(std::int64_t k) {
  Gate gate(k);
  for (std::int64_t i = 0; i < k; ++i) go([&gate] { gate.done(); });
  gate.wait();
}

Body spawn_batches(std::int64_t k) {
  return [k](std::int64_t n) {
    for (std::int64_t done = 0; done < n; done += k) batch_of(k);
  };
}

void repeat(double seconds, std::int64_t batch, const Body& body) {
  body(batch / 10);
  const double begin = now();
  double n = 0;
  while (now() - begin < seconds) {
    body(batch);
    n += static_cast<double>(batch);
  }
  std::printf("ns %.2f\n", (now() - begin) * 1e9 / n);
}

struct Case {
  std::int64_t batch;
  Body body;
};

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, Case> cases{
      {"yield-2", {1'000'000, yield_among(2)}},     {"yield-1000", {2'000'000, yield_among(1000)}},
      {"ping-pong", {200'000, &ping_pong}},         {"stream", {1'000'000, &stream}},
      {"mutex-4", {200'000, &mutex_of_4}},          {"spawn-join", {200'000, spawn_batches(1)}},
      {"spawn-100", {200'000, spawn_batches(100)}}, {"spawn-1000", {200'000, spawn_batches(1000)}},
  };
  const auto found = argc == 3 ? cases.find(argv[1]) : cases.end();
  if (found == cases.end()) {
    std::fprintf(stderr, "usage: micro-fiber CASE SECONDS\n");
    return 2;
  }
  repeat(std::atof(argv[2]), found->second.batch, found->second.body);
  return 0;
}
