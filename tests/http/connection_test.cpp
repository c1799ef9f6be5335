// A connection over a transport that splits, fails and stalls at every byte.
#include "connection.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <utility>

#include <treadle/go.h>

#include "server_state.h"
#include "support/faulty_conn.h"
#include "support/goroutine.h"
#include "support/pipe_conn.h"
#include "support/stub_conn.h"

namespace treadle::http::detail {
namespace {

// Two requests with bodies and one without, of every framing.
constexpr std::string_view kRequests =
    "POST /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    "3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n"
    "POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nwxyz"
    "GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

constexpr std::string_view kTwoRequests =
    "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";

void answer(Response& res, const Request& req) {
  auto body = req.body().read_all();
  if (!body) return;
  res.header("Date", "now").print("{} {};", req.path(), *body);
  if (req.path() != "/stream") return;
  res.flush();
  res.print("more");
}

// A server's state with nothing listening.
std::shared_ptr<ServerState> make_state() {
  return std::make_shared<ServerState>(ServerOptions{}, Handler{answer});
}

// Sends `requests` through a connection that `prepare` has spoilt, and returns all that came back.
template <class Prepare>
std::string exchange(const std::shared_ptr<ServerState>& state, Prepare prepare,
                     std::string_view requests = kRequests) {
  auto [theirs, ours] = test::make_pipe();
  auto faulty = std::make_unique<test::FaultyConn>(std::move(ours));
  prepare(*faulty);
  ServerState::start(state, {std::move(faulty)});
  // A write fails, and so does the read, when the server has closed early.
  std::string got;
  if (theirs->write_all(requests)) theirs->shutdown_write().value();
  std::array<std::byte, 4096> buffer;
  for (;;) {
    const Result<std::size_t> n = theirs->read(buffer);
    if (!n || *n == 0) break;
    got.append(reinterpret_cast<const char*>(buffer.data()), *n);
  }
  theirs->close();
  state->connections_alive.wait();
  return got;
}

// What a connection does on its writing side for such requests, whole and in order.
std::string notes_of(std::string_view requests) {
  const auto state = make_state();
  auto [theirs, ours] = test::make_pipe();
  std::string notes;
  ServerState::start(state, {std::make_unique<test::NotingConn>(std::move(ours), notes)});
  EXPECT_TRUE(theirs->write_all(requests));
  std::array<std::byte, 4096> buffer;
  for (;;) {
    const Result<std::size_t> n = theirs->read(buffer);
    if (!n || *n == 0) break;
  }
  theirs->close();
  state->connections_alive.wait();
  return notes;
}

const std::string kAnswers = [] {
  const auto small = [](std::string_view body) {
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\nContent-Type: text/plain; charset=utf-8\r\nDate: now\r\n\r\n" + std::string(body);
  };
  return small("/first abcde;") + small("/second wxyz;") +
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
         "Content-Type: text/plain; charset=utf-8\r\nDate: now\r\n\r\n"
         "9\r\n/stream ;\r\n4\r\nmore\r\n0\r\n\r\n";
}();

TEST(Connection, SplitAtEveryByteAnswersTheSame) {
  test::run([] {
    const auto state = make_state();
    EXPECT_EQ(exchange(state, [](test::FaultyConn&) {}), kAnswers);
    EXPECT_EQ(exchange(state, [](test::FaultyConn& c) { c.read_in_pieces({}, 1); }), kAnswers);
    EXPECT_EQ(exchange(state, [](test::FaultyConn& c) { c.write_in_pieces({}, 1); }), kAnswers);
    for (std::size_t at = 1; at < kRequests.size(); ++at)
      ASSERT_EQ(exchange(state, [at](test::FaultyConn& c) { c.read_in_pieces({at}); }), kAnswers)
          << at;
  });
}

TEST(Connection, BufferedAnswerLeavesInOneWrite) {
  test::run([] {
    const std::string body(ResponseWriter::kBodyBuffer, 'b');
    const auto state = std::make_shared<ServerState>(
        ServerOptions{}, Handler{[&](Response& res, const Request&) { res.write(body); }});
    const std::string got = exchange(
        state, [](test::FaultyConn& c) { c.fail_writes_at_call(1, EPIPE); },
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(got.ends_with("\r\n\r\n" + body));
    EXPECT_EQ(state->stats().cut, 0U);
  });
}

// Counts the calls that write.
class CountingConn final : public test::WrappedConn {
 public:
  CountingConn(std::unique_ptr<net::Conn> inner, std::atomic<std::size_t>& writes)
      : WrappedConn(std::move(inner)), writes_(writes) {}
  using Conn::write_all;
  net::WriteResult write_all(std::span<const iovec> parts) override {
    ++writes_;
    return inner_->write_all(parts);
  }

 private:
  std::atomic<std::size_t>& writes_;
};

// How often the server wrote, for as many requests, sent at once.
std::size_t writes_for(int requests) {
  std::atomic<std::size_t> writes{0};
  const auto state = make_state();
  auto [theirs, ours] = test::make_pipe();
  auto counting = std::make_unique<CountingConn>(std::move(ours), writes);
  std::string all;
  for (int i = 1; i < requests; ++i) all += "GET /one HTTP/1.1\r\nHost: a\r\n\r\n";
  all += "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  EXPECT_TRUE(theirs->write_all(all));
  ServerState::start(state, {std::move(counting)});
  std::string got;
  std::array<std::byte, 4096> buffer;
  for (;;) {
    const Result<std::size_t> n = theirs->read(buffer);
    if (!n || *n == 0) break;
    got.append(reinterpret_cast<const char*>(buffer.data()), *n);
  }
  std::size_t answers = 0;
  for (std::size_t at = 0; (at = got.find("/one ;", at)) != std::string::npos; ++at) ++answers;
  EXPECT_EQ(answers, static_cast<std::size_t>(requests - 1));
  EXPECT_TRUE(got.ends_with("/last ;")) << got;
  theirs->close();
  state->connections_alive.wait();
  return writes.load();
}

// The last answer's bytes may wait for the end, and for nothing that a handler takes its time over.
TEST(Connection, LastBytesOfTheLastAnswerLeaveWithTheEnd) {
  test::run([] {
    EXPECT_EQ(notes_of("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
              "cork write end close ");
    EXPECT_EQ(notes_of("GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
              "write cork write end close ");
    EXPECT_EQ(notes_of("no request\r\n\r\n"), "cork write end close ");
  });
}

// What comes after it, an empty line or close_notify, would turn our close into a reset, which
// would destroy what of a large answer has not left.
TEST(Connection, ReadsOnAfterALargeLastAnswer) {
  test::run([] {
    const std::string body(100'000, 'b');
    const auto state = std::make_shared<ServerState>(
        ServerOptions{}, Handler{[&](Response& res, const Request&) { res.write(body); }});
    auto [theirs, ours] = test::make_pipe();
    ServerState::start(state, {std::move(ours)});
    ASSERT_TRUE(theirs->write_all("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    std::size_t got = 0;
    std::array<std::byte, 4096> buffer;
    for (;;) {
      const Result<std::size_t> n = theirs->read(buffer);
      if (!n || *n == 0) break;
      got += *n;
    }
    EXPECT_GT(got, body.size());
    for (int i = 0; i < 100; ++i)
      gosched();  // it has ended its side; a close would come right behind
    EXPECT_TRUE(theirs->write_all("\r\n"));
    theirs->close();
    state->connections_alive.wait();
  });
}

TEST(Connection, PipelinedAnswersLeaveTogether) {
  test::run([] {
    EXPECT_EQ(writes_for(1), 1U);
    // One, but for the sweep, which may come in between: once in a millisecond.
    EXPECT_LT(writes_for(100), 50U);
  });
}

// Has no memory for the first write, as TLS may have none for its records.
class ForgetfulConn final : public test::WrappedConn {
 public:
  using Conn::write_all;
  using WrappedConn::WrappedConn;
  net::WriteResult write_all(std::span<const iovec> parts) override {
    if (std::exchange(first_, false)) throw std::bad_alloc();
    return inner_->write_all(parts);
  }

 private:
  bool first_ = true;
};

// A handler that bears the exception must not have the rest of its response sent without its head.
TEST(Connection, WriteThatThrowsEndsItWithNothingMoreSent) {
  test::run([] {
    for (const bool declared : {false, true}) {
      const auto state = std::make_shared<ServerState>(
          ServerOptions{}, Handler{[declared](Response& res, const Request&) {
            if (declared) res.content_length(10);
            res.write("hello");
            EXPECT_THROW(res.flush(), std::bad_alloc);
            res.write("again");
          }});
      auto [theirs, ours] = test::make_pipe();
      ASSERT_TRUE(theirs->write_all(kTwoRequests));
      ServerState::start(state, {std::make_unique<ForgetfulConn>(std::move(ours))});
      std::array<std::byte, 4096> buffer;
      EXPECT_EQ(theirs->read(buffer).value_or(0), 0U) << "declared: " << declared;
      theirs->close();
      state->connections_alive.wait();
      EXPECT_EQ(state->stats().cut, 1U);
    }
  });
}

TEST(Connection, ReadFailureAtAnyByteEndsIt) {
  test::run([] {
    const auto state = make_state();
    for (std::size_t at = 0; at < kRequests.size(); ++at) {
      const std::string got =
          exchange(state, [at](test::FaultyConn& c) { c.fail_reads_at_byte(at, ECONNRESET); });
      // What was read whole before may have been answered, and nothing else comes.
      const std::size_t n = std::min(got.size(), kAnswers.size());
      const bool refused = got.find("HTTP/1.1 4") != std::string::npos;
      EXPECT_TRUE(refused || got == kAnswers.substr(0, n)) << at << '\n' << got;
    }
    EXPECT_EQ(state->stats().connections, 0U);
  });
}

TEST(Connection, WriteFailureAtAnyByteEndsItWithNothingMoreSent) {
  test::run([] {
    const auto state = make_state();
    for (std::size_t at = 0; at < kAnswers.size(); ++at) {
      const std::string got =
          exchange(state, [at](test::FaultyConn& c) { c.fail_writes_at_byte(at, EPIPE); });
      ASSERT_EQ(got, kAnswers.substr(0, at));
    }
    // The one whose write failed, and at most both before it, which were held.
    EXPECT_GE(state->stats().cut, kAnswers.size());
    EXPECT_LE(state->stats().cut, 3 * kAnswers.size());
  });
}

// Calls `hook` wherever a call enters the runtime from elsewhere.
class HookedConn final : public net::Conn {
 public:
  HookedConn(std::unique_ptr<net::Conn> inner, std::function<void()> hook)
      : inner_(std::move(inner)), hook_(std::move(hook)) {}
  Result<std::size_t> read(std::span<std::byte> into) override { return inner_->read(into); }
  using Conn::write_all;
  net::WriteResult write_all(std::span<const iovec> parts) override {
    return inner_->write_all(parts);
  }
  Result<void> wait_readable() override { return inner_->wait_readable(); }
  void set_read_deadline(Deadline d) override {
    hook_();
    inner_->set_read_deadline(d);
  }
  void set_write_deadline(Deadline d) override { inner_->set_write_deadline(d); }
  void ignore_context() override { inner_->ignore_context(); }
  Result<void> shutdown_write() override { return inner_->shutdown_write(); }
  void close() noexcept override {
    hook_();
    inner_->close();
  }
  bool peer_closed() const noexcept override { return inner_->peer_closed(); }
  net::SocketAddress local_address() const override { return inner_->local_address(); }
  net::SocketAddress remote_address() const override { return inner_->remote_address(); }

 private:
  std::unique_ptr<net::Conn> inner_;
  std::function<void()> hook_;
};

TEST(Connection, ServerIsNotLockedWhileConnectionsAreHurriedOrCut) {
  test::run([] {
    const auto state = make_state();
    // One that gives way there with the lock held would keep whoever wants it from going on.
    std::atomic<int> taken{0};
    auto [theirs, ours] = test::make_pipe();
    ServerState::start(state, {std::make_unique<HookedConn>(std::move(ours), [&] {
                         // Others may hold it for a moment; whoever calls us must not, and then
                         // it would never come free.
                         bool free = state->lock.try_lock();
                         for (int i = 0; i < 100'000 && !free; ++i) {
                           std::this_thread::yield();
                           free = state->lock.try_lock();
                         }
                         EXPECT_TRUE(free);
                         if (free) state->lock.unlock();
                         ++taken;
                       })});
    state->keep_alive.stopping.store(true);
    state->hurry_idle();
    EXPECT_GT(taken.exchange(0), 0);
    state->cut_all();
    EXPECT_GT(taken.load(), 0);
    state->connections_alive.wait();
    EXPECT_EQ(state->stats().connections, 0U);
  });
}

TEST(Connection, ShutdownFindsItInEveryPhase) {
  test::run([] {
    // Stalled within the first head, within a body, and in the middle of an answer.
    for (std::size_t at : {0U, 5U, 75U}) {
      const auto state = make_state();
      auto [theirs, ours] = test::make_pipe();
      auto faulty = std::make_unique<test::FaultyConn>(std::move(ours));
      test::FaultyConn& conn = *faulty;
      conn.stall_reads_at_byte(at);
      ServerState::start(state, {std::move(faulty)});
      ASSERT_TRUE(theirs->write_all(kRequests));
      conn.wait_for_stalled_read();
      state->cut_all();
      state->connections_alive.wait();
      EXPECT_EQ(state->stats().connections, 0U);
    }
  });
}

}  // namespace
}  // namespace treadle::http::detail
