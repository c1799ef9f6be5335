// Random bytes from the kernel.
#pragma once

#include <cstddef>

namespace treadle::http {

// Fills `size` bytes, at most 256, with bytes that nobody can guess. A system call. Ends the
// process where the kernel has none to give: keys must not be weak in silence. Never parks; any
// thread.
void fill_random(void* to, std::size_t size) noexcept;

}  // namespace treadle::http
