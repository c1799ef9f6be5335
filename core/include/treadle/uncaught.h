// A say in what happens when an exception leaves a goroutine.
#pragma once

#include <cstdint>
#include <exception>
#include <source_location>
#include <string>

namespace treadle {

struct UncaughtException {
  std::exception_ptr exception;
  std::uint64_t goroutine = 0;
  std::string name;
  std::source_location created;
  std::string stack;  // of where it was thrown from, one line a function
};

enum class UncaughtAction {
  end_process,  // as without a hook: the report on standard error, then abort()
  // Only the goroutine ends, where it is and *without unwinding*: no destructor of its frames runs,
  // what it locked stays locked, what it allocated is lost, and whoever waits for it (a WaitGroup,
  // a Task) waits for ever. C++ has no other way once the search for a handler has failed. For a
  // program that would rather limp than stop; an exception that can be expected is better caught,
  // or collected by spawn().
  end_goroutine,
};

// Has `hook` called when an exception leaves a goroutine started by go(), on that goroutine, in
// std::terminate()'s handler: all its frames are still there. It may log, flush and park, and says
// how to go on. An exception that leaves the hook ends the process. Null takes it away. Replaces
// the hook before; any thread, at any time.
// An exception out of a noexcept function counts too, since nothing tells it apart. Not called for
// std::terminate() without an exception, on plain threads, or when the program has set a terminate
// handler of its own after the runtime's start.
using UncaughtHook = UncaughtAction (*)(const UncaughtException& what);
void set_uncaught_exception_hook(UncaughtHook hook) noexcept;

}  // namespace treadle
