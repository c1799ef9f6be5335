// The body of a death test that starts a runtime with options of its own.
#pragma once

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>

#include <treadle/runtime.h>

// Ends the child where gtest's assertions would fail it only for the child itself.
#define REQUIRE(condition)                                                 \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::_Exit(1);                                                       \
    }                                                                      \
  } while (false)

namespace treadle::test {

// Ends the process with 0 when the body has come to its end, by a signal when it hangs.
[[noreturn]] inline void run_in_child(const RuntimeOptions& options,
                                      const std::function<void()>& body) {
  ::alarm(20);
  run(options, body);
  std::_Exit(0);
}

}  // namespace treadle::test
