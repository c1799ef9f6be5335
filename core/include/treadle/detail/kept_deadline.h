// Contexts whose deadline somebody else keeps. Not for applications.
//
// A server arms no timer for each request: it looks at the clock once for many of them, and it may
// put a request's deadline off, or lift it, while the handler runs. So the context only states its
// deadline; whoever made it ends it then.
#pragma once

#include <cstdint>

#include <treadle/context.h>

namespace treadle::rt {
struct G;
}

namespace treadle::detail {

// Done when its parent is, when it is cancelled, or by expire_context(). deadline() tells `stated`,
// or the parent's where that is earlier. `parent` must not descend from another context of this
// kind. Never parks; any thread.
Context with_kept_deadline(const Context& parent, Deadline stated);

// How many handles there are. Others may come and go meanwhile. Any thread.
std::uint32_t kept_context_handles(const Context& ctx) noexcept;

// Whether nobody could tell it from a new one: there are no handles but the `known` ones of the
// caller, nothing waits for its end, and it has not ended. That its parent may be ending it at this
// moment is as good as with a new one. Any thread.
bool kept_context_unseen(const Context& ctx, std::uint32_t known) noexcept;

// The current Context of a scope, as by ContextScope, of one that outlives it: no reference is
// taken.
class BorrowedContextScope {
 public:
  explicit BorrowedContextScope(const Context& ctx) noexcept;
  ~BorrowedContextScope();
  BorrowedContextScope(const BorrowedContextScope&) = delete;
  BorrowedContextScope& operator=(const BorrowedContextScope&) = delete;

 private:
  rt::G* const g_;
  rt::ContextState* const previous_;
};

// States another deadline, for it and all that descend from it. Never parks; any thread.
void move_kept_deadline(const Context& ctx, Deadline stated) noexcept;

// Ends it with timed_out: its deadline has passed. Never parks; any thread.
void expire_context(const Context& ctx) noexcept;

}  // namespace treadle::detail
