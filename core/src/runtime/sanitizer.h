// What AddressSanitizer, LeakSanitizer and ThreadSanitizer must be told about stacks and switches.
// Without them every function here is empty.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define TREADLE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TREADLE_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define TREADLE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TREADLE_TSAN 1
#endif
#endif

#if TREADLE_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif
#if TREADLE_TSAN
#include <sanitizer/tsan_interface.h>
#endif

// For the functions a goroutine leaves without returning: their entry must not be pushed on
// TSan's shadow stack, which outlives the goroutine together with its recycled fiber.
#if defined(__clang__)
#define TREADLE_UNINSTRUMENTED __attribute__((disable_sanitizer_instrumentation))
#else
#define TREADLE_UNINSTRUMENTED __attribute__((no_sanitize_address, no_sanitize_thread))
#endif

namespace treadle::rt {

// What a sanitizer keeps for each stack that can be switched to.
struct FiberState {
#if TREADLE_ASAN
  void* fake_stack = nullptr;
#endif
#if TREADLE_TSAN
  void* fiber = nullptr;
#endif
  const void* bottom = nullptr;
  std::size_t size = 0;
};

inline void fiber_create([[maybe_unused]] FiberState& f) {
#if TREADLE_TSAN
  if (f.fiber == nullptr) f.fiber = __tsan_create_fiber(0);
#endif
}

inline void fiber_adopt_thread([[maybe_unused]] FiberState& f) {
#if TREADLE_TSAN
  f.fiber = __tsan_get_current_fiber();
#endif
}

// Just before a switch. `from_dies`: nothing will come back to `from`.
TREADLE_UNINSTRUMENTED inline void fiber_leave([[maybe_unused]] FiberState& from,
                                               [[maybe_unused]] FiberState& to,
                                               [[maybe_unused]] bool from_dies) {
#if TREADLE_ASAN
  __sanitizer_start_switch_fiber(from_dies ? nullptr : &from.fake_stack, to.bottom, to.size);
#endif
#if TREADLE_TSAN
  __tsan_switch_to_fiber(to.fiber, 0);
#endif
}

// First thing on arrival at the stack of `self`.
TREADLE_UNINSTRUMENTED inline void fiber_arrive([[maybe_unused]] FiberState& self) {
#if TREADLE_ASAN
  __sanitizer_finish_switch_fiber(self.fake_stack, nullptr, nullptr);
  self.fake_stack = nullptr;
#endif
}

// A new stack: its contents are roots for leak detection, and nothing on it is poisoned.
inline void stack_register([[maybe_unused]] void* low, [[maybe_unused]] std::size_t size) {
#if TREADLE_ASAN
  __lsan_register_root_region(low, size);
#endif
}
inline void stack_clean([[maybe_unused]] void* low, [[maybe_unused]] std::size_t size) {
#if TREADLE_ASAN
  __asan_unpoison_memory_region(low, size);
#endif
}

}  // namespace treadle::rt
