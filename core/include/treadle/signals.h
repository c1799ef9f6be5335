// Signals as values.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <memory>

#include <treadle/chan.h>
#include <treadle/context.h>

namespace treadle {

// From construction to destruction the given signals no longer act on the process; they are
// delivered here instead; what was not taken by then is dropped. One SignalSet per signal at a
// time: a second one panics.
//
//   treadle::SignalSet stop({SIGINT, SIGTERM});
//   int which = *stop.wait();
//
// Or, beside other things to wait for:
//
//   auto signals = stop.channel();
//   treadle::select(treadle::on_recv(signals, [&](int which) { ... }), ...);
//
// It is for signals sent to the process (kill). One sent to a thread by raise() or pthread_kill()
// stays pending where that thread is one of the runtime's, which block all but faults and SIGPROF:
// send to the process instead. Faults (SIGSEGV, SIGBUS, SIGFPE, SIGILL) panic.
//
// While a set has a signal, the runtime never reports a deadlock.
class SignalSet {
 public:
  explicit SignalSet(std::initializer_list<int> signals);
  ~SignalSet();
  SignalSet(const SignalSet&) = delete;
  SignalSet& operator=(const SignalSet&) = delete;

  // The next signal that came; several of one kind may be merged. Honours the current Context.
  // Parks the calling G; on a plain thread it blocks that thread. One waiter at a time; panics when
  // the set has a channel.
  Result<int> wait();

  // A channel that gets the signals from now on, and what has come since construction. Nothing ever
  // waits for it: a signal that finds it full is dropped, so give it room for as many as must not
  // be missed; several of one kind may be merged before. It is closed once the set is destroyed.
  // Never parks; any thread. Panics when the set has one already, or for a capacity of 0.
  Chan<int> channel(std::size_t capacity = 1);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;  // shared with the goroutine that serves the channel
};

}  // namespace treadle
