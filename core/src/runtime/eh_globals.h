// The C++ runtime's per-thread exception state, which belongs to the goroutine.
//
// __cxa_get_globals() is the same two words in libstdc++ and libc++abi (Itanium C++ ABI 2.2.2).
// A goroutine that parks inside a catch block takes them along; the thread's are then empty for
// the next one. The address is asked for once a thread and cached in its M, because the compiler
// believes it constant over a switch.
#pragma once

namespace treadle::rt {

struct EhGlobals {
  void* caught = nullptr;
  unsigned uncaught = 0;
  bool any() const noexcept { return caught != nullptr || uncaught != 0; }
};

}  // namespace treadle::rt

namespace __cxxabiv1 {
struct __cxa_eh_globals;
extern "C" __cxa_eh_globals* __cxa_get_globals() noexcept;
}  // namespace __cxxabiv1
