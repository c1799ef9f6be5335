// Memory for objects whose alignment is known only at run time. The ordinary operator new where it
// will do: the aligned one is several times slower.
#pragma once

#include <cstddef>
#include <new>

namespace treadle::rt {

inline void* allocate(std::size_t size, std::size_t align) {
  if (align <= __STDCPP_DEFAULT_NEW_ALIGNMENT__) return ::operator new(size);
  return ::operator new(size, std::align_val_t{align});
}

inline void deallocate(void* at, std::size_t align) noexcept {
  if (align <= __STDCPP_DEFAULT_NEW_ALIGNMENT__)
    ::operator delete(at);
  else
    ::operator delete(at, std::align_val_t{align});
}

}  // namespace treadle::rt
