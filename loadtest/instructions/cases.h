// What the cases share.
//
// A case does n operations when it is asked to, on the first goroutine of a runtime with one P.
// callgrind counts the thread that runs that P, and only between begin_count() and end_count():
// neither the start of the program nor sysmon's thread. A case is asked three times: to warm up
// (pools, caches, stacks), for n and for 2 n operations; the difference of the last two, divided
// by n, is free of what each request of it costs once.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace instructions {

using Body = std::function<void(std::int64_t n)>;

struct Case {
  std::string_view name;
  std::int64_t count;  // operations of the smaller run, a multiple of step
  std::int64_t step;   // operations that can only be done together
  Body (*prepare)();
};

std::vector<Case> scheduler_cases();
std::vector<Case> server_cases();

void begin_count();
// Ends the count and has callgrind write a file about it, which says `what`.
void end_count(const char* what);

// What is done meanwhile is not counted: a client's part in a case of the server.
class NotCounted {
 public:
  NotCounted();
  ~NotCounted();
  NotCounted(const NotCounted&) = delete;
  NotCounted& operator=(const NotCounted&) = delete;
};

// Ends the process: a case that did not do what it should must not be counted.
[[noreturn]] void give_up(std::string_view what);

}  // namespace instructions
