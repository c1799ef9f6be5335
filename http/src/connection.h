// One connection: the loop that reads requests and has them answered.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <treadle/context.h>
#include <treadle/http/server.h>
#include <treadle/net/conn.h>

#include "exchange.h"
#include "server_state.h"
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
//   for (Next next = c.begin(); next != Next::close; next = c.step())
//     if (next == Next::wait && !c.wait()) break;
//   c.end();
//
// Between requests it holds no Exchange either: buffers belong to requests in progress.
//
// Phases, for shutdown, which runs elsewhere and must give idle connections less time, and no
// others:
//   idle    -> active   by the connection's goroutine, when bytes have come
//   active  -> idle     by the same, once it has set the idle deadline
//   idle    -> touched  by hurry(), which sets a nearer deadline and goes back to idle; the
//                       connection waits for the moment that takes
//   any     -> over     by the connection's goroutine: the last response has left, or end()
// A connection that becomes idle looks at `stopping` afterwards; hurry() comes after `stopping` was
// set. So one of the two sees the other.
//
// Rejected: holding back the answers of pipelined requests to send several at once. The next
// handler may take as long as it likes, and the answer before it would wait for it.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<ServerState> server, std::unique_ptr<net::Conn> conn);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Next begin();
  Next step();
  // Parks until there is something to read. False when there will be nothing: the peer closed, the
  // idle deadline passed, the connection was closed.
  bool wait();
  void end() noexcept;

  // From other goroutines and threads that hold a reference, also once it has ended. They enter
  // the runtime, so no plain mutex may be held over them. Never park.
  void hurry() noexcept;  // an idle connection has `drain_idle` left
  void cut() noexcept;    // closes it and cancels its requests
  bool busy() const noexcept { return phase_.load() == Phase::active; }
  std::uint64_t requests() const noexcept { return requests_.load(std::memory_order_relaxed); }
  std::uint64_t refused() const noexcept { return refused_.load(std::memory_order_relaxed); }
  std::uint64_t responses_cut() const noexcept { return cut_.load(std::memory_order_relaxed); }

  // The server's list of connections, under its lock.
  Connection* list_previous = nullptr;
  Connection* list_next = nullptr;

 private:
  enum class Phase : std::uint8_t { idle, active, touched, over };
  enum class Target : std::uint8_t { for_handler, answered, bad, unclean };

  Next read_head();
  Next serve_request();
  Target answer_target();
  void run_handler();
  void answer_for_handler();
  void answer_failure(std::string_view why);
  Next after_response(ResponseWriter::End how);
  Next go_idle();
  void enter(Phase next);  // from a phase that hurry() may be changing
  // Answers with an error, then ends the connection so that the client gets to read it.
  Next refuse(int code, std::string_view reason);
  Next linger();
  void log_failure() const;
  void record();
  std::string describe() const;  // "peer METHOD target", for the log

  const std::shared_ptr<ServerState> server_;
  const std::unique_ptr<net::Conn> conn_;
  const Transport transport_;
  const CancelableContext context_;  // parent of its requests' Contexts
  ExchangePtr x_;                    // null between requests
  std::atomic<Phase> phase_{Phase::idle};
  bool head_deadline_set_ = false;  // for the request being read
  bool head_read_ = false;          // the head in x_ is whole
  TimePoint started_{};             // of the request, when it is logged

  // Written by the connection's goroutine only, read by stats().
  std::atomic<std::uint64_t> requests_{0};
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<std::uint64_t> cut_{0};
};

}  // namespace treadle::http::detail
