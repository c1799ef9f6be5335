// The Context of a connection's requests.
#pragma once

#include <atomic>
#include <cstdint>
#include <system_error>

#include <treadle/context.h>
#include <treadle/net/conn.h>

namespace treadle::http::detail {

// A request's Context ends with the request. But one that nobody else has a handle on, and whose
// end nothing waits for, cannot be told from a new one: it serves the connection's next request as
// well. As a rule a connection has one for all its requests, which costs none of them anything.
//
// It ends with its peer, once watch() was called, and with the server's.
//
// Who cancels it from elsewhere means the connection, not the request: so cancel() also holds for
// those that come after. `changing_` is a lock, which protects the change from one to the next,
// `over_`, and handles taken by others than the connection's goroutine. It is held for a few
// instructions, and there are many connections: a std::mutex has 40 bytes.
class ConnectionContext {
 public:
  // `parent` must outlive it.
  explicit ConnectionContext(const Context& parent);
  ConnectionContext(const ConnectionContext&) = delete;
  ConnectionContext& operator=(const ConnectionContext&) = delete;

  // The request's. For the connection's goroutine and those that it waits for.
  const Context& get() const noexcept { return context_; }

  // The rest never parks; the connection's goroutine calls it. Cancels it when the peer of `conn`
  // goes.
  void watch(net::Conn& conn);
  // A request begins; its deadline is stated, and kept by the caller.
  void begin(Deadline stated) noexcept;
  // And ends: its Context does for everybody who could tell.
  void end();

  // Ends this one and all that follow. Any thread.
  void cancel(std::error_code cause = {}) noexcept;

 private:
  class Change;
  void replace();

  const Context& parent_;
  net::Conn* watched_ = nullptr;
  Context context_;
  std::uint32_t handles_ = 1;  // that we know of: our own, and that of the watch
  std::atomic_flag changing_;
  bool over_ = false;
};

}  // namespace treadle::http::detail
