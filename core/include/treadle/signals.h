// Signals as values.
#pragma once

#include <initializer_list>

#include <treadle/context.h>

namespace treadle {

// From construction to destruction the given signals no longer act on the process; they are
// delivered here instead. One SignalSet per signal at a time: a second one panics.
//
//   treadle::SignalSet stop({SIGINT, SIGTERM});
//   int which = *stop.wait();
class SignalSet {
 public:
  explicit SignalSet(std::initializer_list<int> signals);
  ~SignalSet();
  SignalSet(const SignalSet&) = delete;
  SignalSet& operator=(const SignalSet&) = delete;

  // The next signal that came; several of one kind may be merged. Honours the current Context.
  // Parks the calling G; on a plain thread it blocks that thread. One waiter at a time.
  Result<int> wait();

 private:
  struct Impl;
  Impl* impl_;
};

}  // namespace treadle
