#include "connection_context.h"

#include <treadle/detail/kept_deadline.h>

#include <utility>

namespace treadle::http::detail {

// Holds the lock.
class ConnectionContext::Change {
 public:
  explicit Change(ConnectionContext& c) noexcept : flag_(c.changing_) {
    while (flag_.test_and_set(std::memory_order_acquire)) flag_.wait(true);
  }
  ~Change() {
    flag_.clear(std::memory_order_release);
    flag_.notify_one();
  }
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;

 private:
  std::atomic_flag& flag_;
};

ConnectionContext::ConnectionContext(const Context& parent)
    : parent_(parent), context_(treadle::detail::with_kept_deadline(parent, Deadline::never())) {}

void ConnectionContext::watch(net::Conn& conn) {
  watched_ = &conn;
  conn.watch_peer(context_);
  handles_ = treadle::detail::kept_context_handles(context_);
}

void ConnectionContext::begin(Deadline stated) noexcept {
  treadle::detail::move_kept_deadline(context_, stated);
}

void ConnectionContext::end() {
  if (!treadle::detail::kept_context_unseen(context_, handles_)) replace();
}

void ConnectionContext::replace() {
  Context other = treadle::detail::with_kept_deadline(parent_, Deadline::never());
  bool over;
  {
    const Change change(*this);
    std::swap(context_, other);
    over = over_;
  }
  CancelFunc{std::move(other)}();
  handles_ = 1;
  if (watched_ != nullptr) watch(*watched_);
  if (over) CancelFunc{context_}();
}

void ConnectionContext::cancel(std::error_code cause) noexcept {
  Context now;
  {
    const Change change(*this);
    over_ = true;
    now = context_;
  }
  CancelFunc{std::move(now)}(cause);
}

}  // namespace treadle::http::detail
