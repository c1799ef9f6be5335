// One connection: the loop that reads requests and has them answered.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <treadle/context.h>
#include <treadle/http/server.h>
#include <treadle/net/conn.h>
#include <treadle/ticker.h>

#include "connection_context.h"
#include "doing.h"
#include "exchange.h"
#include "lazy_timer.h"
#include "response_claim.h"
#include "server_state.h"
#include "settings.h"
#include "transport.h"

namespace treadle::http::detail {

// What a connection wants next.
enum class Next : std::uint8_t {
  again,  // call step() again: more has been read already
  wait,   // nothing is buffered: call step() once the connection is readable
  close,  // it is over
};

// All state of a connection lives here and none on its goroutine's stack, so that between requests
// the goroutine needs no stack at all:
//
//   go_on():  begin() the first time, then step(), until that says `wait`: the goroutine returns
//             to the runtime and is called again once there is something to read. After `close`,
//             end().
//
// Between requests it holds no Exchange either: buffers belong to requests in progress.
//
// Phases, for a shutdown and a full server, which run elsewhere and must give connections that wait
// less time, and no others:
//   opening -> idle     by the connection's goroutine: PROXY header and handshake are through
//   idle    -> active   by the same, when bytes have come
//   active  -> idle     by the same, once it has set the idle deadline
//   active  -> lingering   by the same: it has its last answer, and what it still sends is dropped
//   opening, idle, lingering -> touched   by hurry() and shed(), which set a nearer deadline and go
//                       back; the connection waits for the moment that takes
//   any     -> over     by the connection's goroutine: the last response has left, or end()
// A connection that has set a deadline looks at KeepAlive and `shed_` afterwards; hurry() and
// shed() come after those were set. So one of the two sees the other.
//
// The response belongs to the handler until its deadline passes: see response_claim.h. The
// deadline's goroutine holds the deadline timer's lock while it answers, and the connection's
// goroutine waits for that before it lets go of the request, so that Exchange and connection stay.
//
// Pipelined requests: a response that ends while bytes of the next request lie in the buffer may be
// held, to leave with the responses after it. It is sent
//   - with the next bytes that are written, be they 100, 103, 101 or an error;
//   - before anything is read, and before the connection is idle, lingers, is given away or ends;
//   - once 16 KiB would be held (HeldRoom::kMost): then the peer's pace is ours;
//   - by another goroutine while a later handler is at work: as soon as that parks (park_alarm.h),
//     within about a millisecond when it is only slow (OutputSweep), and, where it keeps its P to
//     itself meanwhile, computing or blocked, once the runtime has taken that away (some 10 ms).
// A response that is held has been answered: it is logged and counted as such, as one is that the
// kernel took and the client never got. When the write that was to carry it fails, it counts as cut
// besides; the requests after it are cut as after any failed write.
//
// Rejected: to hold nothing, since the next handler may take as long as it likes: every response
// is a system call then, which costs several times as much as the rest of a small request. To send
// before each handler whose route was not found quick before: a quick one may wait all the same. To
// leave it to the handlers to be quick: a slow one would hold the answers of those before it.
class Connection final : public std::enable_shared_from_this<Connection>,
                         private RequestHost,
                         private LazyTimer::Owner {
 public:
  Connection(std::shared_ptr<ServerState> server, Arrival arrival);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // What the connection's goroutine does each time it is called: see detail/resumable.h. Null: it
  // is over. Parks.
  const treadle::detail::Pollable* go_on() noexcept;

  // From other goroutines and threads that hold a reference, also once it has ended. They enter
  // the runtime, so no plain mutex may be held over them. Never park.
  void hurry() noexcept;  // an idle connection has `drain_idle` left
  bool shed() noexcept;   // ends one that waits for its client; false when it does not
  void cut() noexcept;    // closes it and cancels its requests
  bool busy() const noexcept { return phase_.load() == Phase::active; }
  // Since when it is idle; only a hint where it is not.
  TimePoint idle_since() const noexcept { return idle_since_.load(std::memory_order_relaxed); }
  bool idle() const noexcept { return phase_.load() == Phase::idle; }
  bool opening() const noexcept { return phase_.load() == Phase::opening; }
  bool lingering() const noexcept { return phase_.load() == Phase::lingering; }
  std::string straggler() const;  // "peer METHOD target" of the request in progress, or empty
  std::uint64_t requests() const noexcept { return requests_.load(std::memory_order_relaxed); }
  std::uint64_t refused() const noexcept { return refused_.load(std::memory_order_relaxed); }
  std::uint64_t responses_cut() const noexcept { return cut_.load(std::memory_order_relaxed); }
  HeldOutput& held() noexcept { return transport_.held(); }
  // Sends what is held in the stead of the connection's goroutine. Parks.
  void send_held() noexcept;

  // Its place among the connections; given back by ServerState::leave().
  Semaphore::Hold slot;
  // The server's list of connections, under its lock.
  bool listed = false;
  Connection* list_previous = nullptr;
  Connection* list_next = nullptr;

 private:
  Next begin();
  Next step();
  const treadle::detail::Pollable* next_wait();
  void end() noexcept;

  enum class Phase : std::uint8_t { opening, idle, active, lingering, touched, over };
  enum class Target : std::uint8_t { for_handler, answered, bad, unclean, elsewhere };

  // connection_open.cpp: what comes before the first request.
  bool open();
  bool read_proxy();
  bool shake_hands();
  bool count_address();
  void give_time(Duration d);
  void refuse_plaintext();

  // connection.cpp: from bytes to requests, and between them.
  Next read_head();
  void limit_head();
  void limit_record();
  Next go_idle();
  Next wait_on();
  void discard_input(net::Conn& conn);
  void enter(Phase next);  // from a phase that hurry() may be changing
  bool touch(Deadline d) noexcept;
  void obey_server(Deadline ours);
  void say_goodbye() noexcept;
  // Answers with an error, then ends the connection so that the client gets to read it.
  Next refuse(int code, std::string_view reason);
  Next linger();
  // Its buffers go back; what is held in them is sent before.
  void drop_exchange() noexcept;
  // A response is held, or was a moment ago: from here on others look after it, too.
  void see_to_held();

  // connection_request.cpp: one request.
  void begin_request();
  Next serve_request();
  Target answer_target();
  void judge_forwarded();
  bool host_is_elsewhere() const;
  bool answer_health(std::string_view path);
  void run_handler();
  void answer_for_handler();
  void answer_failure(std::string_view why);
  Next after_response(ResponseWriter::End how);
  Next after_late(ResponseClaim::State how);
  void log_failure() const;
  enum class Outcome : std::uint8_t { complete, cut };
  void record(int status, std::uint64_t bytes, Outcome outcome = Outcome::complete);
  std::string describe() const;  // "client METHOD target", for the log

  // connection_deadline.cpp: the handler's deadline, and giving the connection away.
  void set_handler_deadline(Deadline d) override;
  Deadline handler_deadline() const noexcept override { return deadline_.deadline(); }
  Hijacked hijack() override;
  void deadline_passed(LazyTimer::Tag number) override;
  std::shared_ptr<void> hold() override { return shared_from_this(); }
  void answer_late(LazyTimer::Tag number);

  const ServerOptions& options() const noexcept { return settings_->options; }

  // What a request touches, together: a server of many connections finds it in no cache.
  const std::shared_ptr<ServerState> server_;
  const std::shared_ptr<const Settings> settings_;
  std::unique_ptr<net::Conn> owned_;  // null once it was given away
  net::Conn* const conn_;             // owned_, or shared_ from then on
  net::Conn* const raw_;              // conn_ itself, or what its TLS runs over
  net::TlsConn* const tls_;           // conn_, if it speaks TLS
  ExchangePtr x_;                     // null between requests
  Transport transport_;
  ConnectionContext context_;
  ResponseClaim claim_;
  LazyTimer deadline_;
  // Runs send_held(). Made when a response is held for the first time; off unless the connection's
  // goroutine has parked over one.
  Timer park_alarm_;
  std::atomic<Phase> phase_{Phase::opening};
  std::atomic<bool> shed_{false};      // its place is wanted
  std::atomic<bool> hijacked_{false};  // the connection is the handler's
  bool begun_ = false;                 // begin() was called
  bool may_be_empty_ = false;          // the first read is to find out whether anything is there
  bool head_deadline_set_ = false;     // for the request being read
  bool head_read_ = false;             // the head in x_ is whole
  bool proxy_tls_ = false;             // the client speaks TLS with whoever sent the PROXY header
  // For what comes next: a request's first byte, or the rest of its head. What the connection
  // itself is told may be less.
  Deadline read_until_;
  std::atomic<TimePoint> idle_since_;
  std::uint64_t body_bytes_ = 0;  // of all answers
  // Written by the connection's goroutine only, read by stats().
  std::atomic<std::uint64_t> requests_{0};
  Doing doing_;

  // The rest.
  const bool proxy_protocol_;
  bool counted_ = false;               // peer_ counts in ServerState::per_address
  bool says_goodbye_ = false;          // TLS stands, and nothing was cut: ends with close_notify
  net::SocketAddress peer_;            // by the PROXY header, too; fixed once begin() has returned
  std::shared_ptr<net::Conn> shared_;  // conn_, once it was given away
  TimePoint started_{};                // of the request, when it is logged
  Duration handler_time_{};            // the same
  // As requests_.
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<std::uint64_t> cut_{0};
};

// Adds one to a counter that has one writer.
inline void count(std::atomic<std::uint64_t>& counter) noexcept {
  counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

// A connection that we end while the client may still send: what it sends is read and dropped, so
// that the kernel does not answer it with a reset that would destroy our response on its way.
inline constexpr Duration kLingerTime = std::chrono::seconds(2);
inline constexpr std::size_t kLingerBytes = 256 * 1024;

}  // namespace treadle::http::detail
