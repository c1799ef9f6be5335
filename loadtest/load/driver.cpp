#include "driver.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace load {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
// How long after the window answers are still waited for.
constexpr std::int64_t kGrace = 3 * kSecond;
constexpr std::int64_t kWarmUpGrace = kSecond / 4;
constexpr int kManyErrors = 100;
// Of the window, and what one must hold at least for its p99 to be more than its slowest answer.
constexpr std::int64_t kSlice = kSecond / 10;
constexpr std::size_t kLeastInSlice = 200;
constexpr std::size_t kLeastSlices = 5;

// Set by SIGTERM: the window is over now, and what is under way is no error.
volatile sig_atomic_t told_to_end = 0;

std::size_t expected(const Plan& plan) {
  const double each = plan.rate > 0 ? plan.rate : 250'000;
  return static_cast<std::size_t>(each * plan.seconds * 1.1) + 1000;
}

}  // namespace

const char* Driver::usage =
    "  --rate N      operations a second on a schedule; 0: each client as fast as it is answered "
    "(0)\n"
    "  --seconds S   of the measured window (2)\n"
    "  --warmup S    the same load before it, not counted (0.2)\n"
    "  --spin        never sleep while waiting: for a CPU of our own\n"
    "  --gate        print \"ready\" and wait for a line before the window, and for another at the "
    "end\n";

Plan Plan::from(Flags& flags) {
  Plan plan;
  plan.rate = flags.real("rate", plan.rate, 0, 1e7);
  plan.seconds = flags.real("seconds", plan.seconds, 0.01, 600);
  plan.warmup = flags.real("warmup", plan.warmup, 0, 60);
  plan.spin = flags.given("spin");
  plan.gate = flags.given("gate");
  return plan;
}

Driver::Driver(const Plan& plan)
    : plan_(plan),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      gap_(plan.rate > 0 ? plan.rate / kSecond : 1),
      latency_(expected(plan)),
      late_(plan.rate > 0 ? expected(plan) : 0) {
  if (epoll_ < 0) die(std::string("epoll_create1: ") + ::strerror(errno));
  ::prctl(PR_SET_TIMERSLACK, 1);
  ::signal(SIGTERM, [](int) { told_to_end = 1; });
  raise_descriptor_limit();
}

Driver::~Driver() { ::close(epoll_); }

void Driver::add(std::unique_ptr<Client> client) { clients_.push_back(std::move(client)); }

void Driver::once(std::size_t window) {
  const std::int64_t limit = now_ns() + 60 * kSecond;
  end_ = 0;  // nothing is started but here
  std::size_t next = 0;
  while (next < clients_.size() || busy_ > 0) {
    const std::int64_t now = now_ns();
    while (next < clients_.size() && busy_ < window) start(*clients_[next++], now);
    if (errors_ > 0) die("the first requests: " + first_error_);
    if (now > limit)
      die("the first requests: " + std::to_string(busy_) + " clients have no answer after 60 s");
    if (busy_ > 0) wait(limit);
  }
}

void Driver::measure() {
  if (plan_.warmup > 0) {
    window(plan_.warmup, kWarmUpGrace);
    if (errors_ > 0) die("warming up: " + first_error_);
    due_.clear();  // a server that is slow by now is so when it is measured, too
  }
  latency_.clear();
  late_.clear();
  slices_.clear();
  for (std::int64_t at = 0;
       plan_.rate > 0 && at < static_cast<std::int64_t>(plan_.seconds * kSecond); at += kSlice)
    slices_.emplace_back(static_cast<std::size_t>(plan_.rate * 1.3 * kSlice / kSecond));
  done_ = 0;
  gate("ready");
  window(plan_.seconds, kGrace);
  give_up(now_ns());
  std::printf("%s\n", json().c_str());
  std::fflush(stdout);
  // Connections stay open until whoever started us has looked.
  if (plan_.gate) (void)std::getchar();
}

void Driver::gate(const char* word) {
  if (!plan_.gate) return;
  std::printf("%s\n", word);
  std::fflush(stdout);
  for (int c = 0; c != '\n';)
    if ((c = std::getchar()) == EOF) die("nobody answers at the gate");
}

void Driver::window(double seconds, std::int64_t grace) {
  free_.clear();
  for (auto& client : clients_)
    if (!client->busy_ && !client->lost_) free_.push_back(client.get());
  begin_ = last_done_ = now_ns();
  end_ = begin_ + static_cast<std::int64_t>(seconds * kSecond);
  next_due_ = plan_.rate > 0 ? gap_(random_) : 0;
  for (;;) {
    const std::int64_t now = now_ns();
    fall_due(now);
    start_free(now);
    if (told_to_end) return;
    const bool over = now >= end_ && due_.empty() && busy_ == 0;
    const bool nobody_left = busy_ == 0 && free_.empty();
    if (over || nobody_left || now > end_ + grace || errors_ > kManyErrors) return;
    std::int64_t until = now < end_ ? end_ : end_ + grace;
    if (plan_.rate > 0 && now < end_)
      until = std::min(until, begin_ + static_cast<std::int64_t>(next_due_));
    wait(until);
  }
}

// Notes what has fallen due by now, on a schedule.
void Driver::fall_due(std::int64_t now) {
  if (plan_.rate <= 0) return;
  for (;;) {
    const std::int64_t at = begin_ + static_cast<std::int64_t>(next_due_);
    if (at > now || at >= end_) return;
    due_.push_back(at);
    late_.add(now - at);
    next_due_ += gap_(random_);
  }
}

// Gives free clients what is due; in a closed loop that is anything until the window ends.
void Driver::start_free(std::int64_t now) {
  while (!free_.empty() && (plan_.rate > 0 ? !due_.empty() : now < end_)) {
    Client& client = *free_.front();
    free_.pop_front();
    if (client.lost_) continue;
    std::int64_t due = now;
    if (plan_.rate > 0) {
      due = due_.front();
      due_.pop_front();
    }
    start(client, due);
  }
}

void Driver::start(Client& client, std::int64_t due) {
  client.due_ = due;
  client.busy_ = true;
  ++busy_;
  step(client, client.start());
}

void Driver::step(Client& client, Step result) {
  if (result == Step::pending) return;
  const bool was_busy = client.busy_;
  client.busy_ = false;
  if (was_busy) --busy_;
  if (result == Step::failed) {
    if (client.lost_) return;
    ++errors_;
    if (first_error_.empty()) first_error_ = client.error();
    client.lost_ = !client.restarts();
    if (was_busy && !client.lost_) free_.push_back(&client);
    return;
  }
  free_.push_back(&client);
  if (client.due_ < begin_) return;  // a straggler of the warm-up
  last_done_ = now_ns();
  record(client.due_, last_done_ - client.due_);
  ++done_;
}

void Driver::record(std::int64_t due, std::int64_t latency) {
  latency_.add(latency);
  const auto slice = static_cast<std::size_t>((due - begin_) / kSlice);
  if (slice < slices_.size()) slices_[slice].add(latency);
}

// The p99 of the median slice: what the server does while the machine lets it. One that stands
// still for a moment once a second, or is held up by others on its CPU, has its p99 from that
// moment alone. -1 where the slices hold too little.
std::int64_t Driver::typical_p99() {
  std::vector<std::int64_t> each;
  for (Samples& slice : slices_)
    if (slice.size() >= kLeastInSlice) each.push_back(slice.percentile(0.99));
  if (each.size() < kLeastSlices) return -1;
  const auto middle = each.begin() + static_cast<std::ptrdiff_t>(each.size() / 2);
  std::nth_element(each.begin(), middle, each.end());
  return *middle;
}

void Driver::wait(std::int64_t until) {
  epoll_event events[256];
  timespec timeout{};
  const std::int64_t left = until - now_ns();
  if (!plan_.spin && left > 0) {
    timeout.tv_sec = left / kSecond;
    timeout.tv_nsec = left % kSecond;
  }
  const int n = ::epoll_pwait2(epoll_, events, 256, &timeout, nullptr);
  if (n < 0 && errno != EINTR) die(std::string("epoll_pwait2: ") + ::strerror(errno));
  for (int i = 0; i < n; ++i) {
    auto& client = *static_cast<Client*>(events[i].data.ptr);
    step(client, client.ready());
    // At once, not after the whole batch: else our answers would come in bursts.
    const std::int64_t now = now_ns();
    fall_due(now);
    start_free(now);
  }
}

// What is still open when the window is over has waited this long at least, and is an error each.
void Driver::give_up(std::int64_t now) {
  if (told_to_end) return;
  unsent_ = static_cast<std::int64_t>(due_.size());
  for (const std::int64_t due : due_) record(due, now - due);
  due_.clear();
  unanswered_ = 0;
  for (auto& client : clients_) {
    if (!client->busy_ || client->due_ < begin_) continue;
    ++unanswered_;
    record(client->due_, now - client->due_);
  }
  if (unanswered_ == 0 && unsent_ == 0) return;
  errors_ += static_cast<int>(unanswered_ + unsent_);
  if (first_error_.empty())
    first_error_ = std::to_string(unanswered_) + " not answered and " + std::to_string(unsent_) +
                   " not sent " + std::to_string(kGrace / kSecond) + " s after the window";
}

std::string Driver::json() {
  std::string escaped;
  for (const char c : first_error_) {
    if (c == '"' || c == '\\') escaped += '\\';
    escaped += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  const double seconds = static_cast<double>(last_done_ - begin_) / kSecond;
  char counts[512];
  std::snprintf(counts, sizeof counts,
                "{\"done\":%lld,\"seconds\":%.6f,\"rate\":%.3f,\"errors\":%d,\"unanswered\":%lld,"
                "\"unsent\":%lld,\"clients\":%zu,",
                static_cast<long long>(done_), seconds, plan_.rate, errors_,
                static_cast<long long>(unanswered_), static_cast<long long>(unsent_),
                clients_.size());
  std::string out = counts + latency_.json("");
  if (plan_.rate > 0) out += "," + late_.json("late_");
  if (const std::int64_t p99 = typical_p99(); p99 >= 0) {
    char field[64];
    std::snprintf(field, sizeof field, ",\"slice_p99_us\":%.3f", static_cast<double>(p99) / 1000);
    out += field;
  }
  return out + ",\"error\":\"" + escaped + "\"}";
}

}  // namespace load
