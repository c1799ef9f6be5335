// Names, files and lines for code addresses.
//
// By libbacktrace where it was found at build time (g++ brings it along), which reads the program's
// own debug information and allocates by mmap only; else by the dynamic symbol table.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/text_out.h"

namespace treadle::rt {

// Where names come from. In a signal handler malloc's lock may be held by the very code that was
// interrupted: there names are unmangled only as far as that goes without memory.
enum class Symbols : std::uint8_t { pretty, without_malloc };

// Writes one line for each function at `pc`, those inlined there first: "    f(int) at
// file.cpp:12". `pc` is a return address: the line is that of the call before it. False: nothing
// was written, since `skip_runtime` holds and all of it is the runtime's own.
bool print_frame(TextOut& out, const void* pc, Symbols symbols, bool skip_runtime) noexcept;

}  // namespace treadle::rt
