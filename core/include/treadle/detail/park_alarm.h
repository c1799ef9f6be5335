// A timer that goes off when a goroutine parks. Not for applications.
//
// For work that a goroutine has put off because it will come to it soon, and that must not wait
// when the goroutine itself comes to wait for something. The alarm only starts a goroutine of its
// own, which runs next where nobody stands before it; a goroutine that blocks its thread, computes
// or yields does not park, and needs another remedy beside this one.
#pragma once

#include <treadle/ticker.h>

namespace treadle::detail {

// When the calling goroutine next parks, `t` is reset to zero: its function is started. Once; then
// it is to be set again. It takes the place of the one set before, null for none. `t` is borrowed
// until then, and is one of after_func(). A goroutine between calls, dormant, is not parked.
// Never parks; a goroutine only.
void set_park_alarm(const Timer* t) noexcept;

}  // namespace treadle::detail
