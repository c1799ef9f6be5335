// Counting instructions by callgrind: what treadle-instructions and treadle-scale share.
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

namespace instructions {

using Body = std::function<void(std::int64_t n)>;

// Does all of that with the body that `prepare` makes, and prints "operations=n". On the first
// goroutine of a runtime with one P.
void count_operations(const std::function<Body()>& prepare, std::int64_t n);

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
