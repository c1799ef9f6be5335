#include "runtime/debug_layout.h"

#include <cstddef>
#include <cstring>

#include "runtime/extra.h"
#include "runtime/g.h"
#include "runtime/m.h"

// Conditionally supported for classes such as these; both compilers do.
#pragma GCC diagnostic ignored "-Winvalid-offsetof"

namespace treadle::rt {

extern "C" {
DebugLayout treadle_rt_debug;
}

void debug_layout_init(const void* blocks, std::uint64_t gs_per_block,
                       std::uint64_t next_block) noexcept {
  DebugLayout& d = treadle_rt_debug;
  d.blocks = blocks;
  d.gs_per_block = gs_per_block;
  d.next_block = next_block;
  d.g_size = sizeof(G);
  d.sp = offsetof(G, sched) + offsetof(Gobuf, sp);
  d.stack = offsetof(G, stack);
  d.m = offsetof(G, m);
  d.status = offsetof(G, status);
  d.reason = offsetof(G, reason);
  d.foreign = offsetof(G, foreign);
  d.waiting_since = offsetof(G, waiting_since);
  d.id = offsetof(G, id);
  d.parent = offsetof(G, parent);
  d.site = offsetof(G, site);
  d.extra = offsetof(G, extra);
  d.m_tid = offsetof(M, tid);
  d.extra_text = offsetof(GExtra, text) + PublishedText::words_offset();
  for (std::size_t i = 0; i + 1 < sizeof d.reasons / sizeof d.reasons[0]; ++i) {
    const char* text = wait_reason_text(static_cast<WaitReason>(i));
    if (std::strcmp(text, "?") == 0) return;
    d.reasons[i] = text;
  }
}

}  // namespace treadle::rt
