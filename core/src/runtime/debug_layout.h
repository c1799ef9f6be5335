// What core/gdb/treadle_gdb.py needs to find goroutines in a process or a core file without debug
// information: one symbol, whose words it reads in this order.
#pragma once

#include <cstdint>

namespace treadle::rt {

struct DebugLayout {
  std::uint64_t version = 1;
  const void* blocks = nullptr;  // address of the pointer to the newest block of Gs
  std::uint64_t gs_per_block = 0;
  std::uint64_t next_block = 0;  // offset in a block; its Gs stand at its beginning
  std::uint64_t g_size = 0;
  // Offsets in a G.
  std::uint64_t sp = 0;
  std::uint64_t stack = 0;
  std::uint64_t m = 0;
  std::uint64_t status = 0;
  std::uint64_t reason = 0;
  std::uint64_t foreign = 0;
  std::uint64_t waiting_since = 0;
  std::uint64_t id = 0;
  std::uint64_t parent = 0;
  std::uint64_t site = 0;
  std::uint64_t extra = 0;
  // Offsets in an M and a GExtra.
  std::uint64_t m_tid = 0;
  std::uint64_t extra_text = 0;
  const char* reasons[64] = {};  // texts of the wait reasons, up to the first null
};
extern "C" DebugLayout treadle_rt_debug;

// Fills it in, with the part that only go.cpp knows.
void debug_layout_init(const void* blocks, std::uint64_t gs_per_block,
                       std::uint64_t next_block) noexcept;

}  // namespace treadle::rt
