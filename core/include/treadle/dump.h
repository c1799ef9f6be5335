// Seeing the goroutines of a process.
//
//   treadle::dump_goroutines(STDERR_FILENO);
//   res.print("{}", treadle::goroutine_dump());        // for an operator's eyes: it names code
#pragma once

#include <cstdint>
#include <functional>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include <treadle/timer.h>

namespace treadle {

struct DumpOptions {
  // Adds the stack of each parked or queued goroutine, by function, file and line, as far as debug
  // information is there. It costs some microseconds a frame, and reading the program's debug
  // information the first time, perhaps a second.
  bool stacks = true;
};

// Writes one block a goroutine: id, state, what it waits for and for how long, name and labels;
// its stack; where it was created, and by whom. Of a goroutine that runs at the moment, the place
// from where it last called treadle stands for its stack: to see that as well, send SIGQUIT,
// which ends the process.
// Goroutines go on meanwhile, each held still only for the microseconds in which its stack is read,
// so the picture is not one instant.
// Never parks, but blocks the thread on a slow `fd`; any thread.
void dump_goroutines(int fd, DumpOptions options = {});
// The same, to a function that is called with pieces of text, on the caller's stack.
void dump_goroutines(const std::function<void(std::string_view)>& out, DumpOptions options = {});
std::string goroutine_dump(DumpOptions options = {});

// One goroutine as it was a moment ago.
struct GoroutineInfo {
  std::uint64_t id = 0;
  std::uint64_t parent = 0;    // the one that started it; 0: a plain thread
  std::string_view state;      // "running", "detached", "runnable", "waiting"
  std::string_view waits_for;  // "chan receive", "sleep", ...; empty when it does not wait
  Duration waited{};           // for how long, to some milliseconds
  std::source_location created;
  std::string marks;  // name and labels as dumps show them
};
// All goroutines, in no order. Never parks; any thread.
std::vector<GoroutineInfo> goroutines();

}  // namespace treadle
