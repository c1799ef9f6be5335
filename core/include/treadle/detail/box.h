// How the runtime keeps an object of a user's type in memory of its own: a callable, mostly.
#pragma once

#include <cstddef>
#include <new>

namespace treadle::detail {

// Neither function runs under a lock of the runtime's.
struct BoxOps {
  std::size_t size;
  std::size_t align;
  void (*call)(void* at);
  void (*destroy)(void* at) noexcept;
};

template <class F>
inline constexpr BoxOps kBoxOps{sizeof(F), alignof(F),
                                [](void* at) { (*std::launder(static_cast<F*>(at)))(); },
                                [](void* at) noexcept { std::launder(static_cast<F*>(at))->~F(); }};

}  // namespace treadle::detail
