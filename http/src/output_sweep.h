// Sends responses that are held while a later handler takes its time.
#pragma once

#include <chrono>
#include <list>
#include <memory>

#include <treadle/mutex.h>
#include <treadle/ticker.h>

namespace treadle::http::detail {

class Connection;

// A server's. Every kEvery, as long as connections with held responses are watched, it looks at
// each: what is held then is sent, by a goroutine of its own since the client may be slow. So no
// response waits longer than kEvery for the handlers of later requests; where one of them keeps its
// P to itself, computing or blocked, besides until the runtime has taken that away: a timer that is
// due is work that waits. (Where it parks, the connection's park alarm is sooner.)
//
// A connection that holds nothing at a look is not watched any more, until it holds something
// again. So with no pipelined requests no timer runs, and with many a connection comes here once in
// kEvery, not once per batch.
class OutputSweep : public std::enable_shared_from_this<OutputSweep> {
 public:
  static constexpr Duration kEvery = std::chrono::milliseconds(1);

  // The connection's goroutine; see HeldOutput::take_wants_watch(). May park.
  void watch(std::weak_ptr<Connection> c);

 private:
  using List = std::list<std::weak_ptr<Connection>>;  // the sweep needs no memory for it

  void sweep();
  List look_at(List all);
  void arm_locked();

  Mutex lock_;
  List watched_;        // under lock_
  bool armed_ = false;  // under lock_: the timer runs, or a sweep does
  Timer timer_;         // under lock_; its closure does not keep this alive
};

}  // namespace treadle::http::detail
