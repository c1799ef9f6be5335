// Contexts whose deadline somebody else keeps. Not for applications.
//
// A server arms no timer for each request: it looks at the clock once for many of them, and it may
// put a request's deadline off, or lift it, while the handler runs. So the context only states its
// deadline; whoever made it ends it then.
#pragma once

#include <treadle/context.h>

namespace treadle::detail {

// Done when its parent is, when it is cancelled, or by expire_context(). deadline() tells `stated`,
// or the parent's where that is earlier. `parent` must not descend from another context of this
// kind. Never parks; any thread.
Context with_kept_deadline(const Context& parent, Deadline stated);

// Ends it as a CancelFunc does, and lets go of it. Where nobody else has a handle on it, and
// nothing waits for its end, nobody could tell: then it is only let go of. Never parks; any thread.
void end_kept_context(Context& ctx) noexcept;

// Makes one that is not needed any more serve once more, below the same parent, with another
// deadline: where nobody could tell it from a new one, since nobody else has a handle on it,
// nothing waits for its end and it has not ended. False: it is as it was. Never parks; any thread.
bool renew_kept_context(const Context& ctx, Deadline stated) noexcept;

// The current Context of a scope, as by ContextScope, of one that outlives it: no reference is
// taken.
class BorrowedContextScope {
 public:
  explicit BorrowedContextScope(const Context& ctx) noexcept;
  ~BorrowedContextScope();
  BorrowedContextScope(const BorrowedContextScope&) = delete;
  BorrowedContextScope& operator=(const BorrowedContextScope&) = delete;

 private:
  rt::ContextState* previous_;
};

// States another deadline, for it and all that descend from it. Never parks; any thread.
void move_kept_deadline(const Context& ctx, Deadline stated) noexcept;

// Ends it with timed_out: its deadline has passed. Never parks; any thread.
void expire_context(const Context& ctx) noexcept;

}  // namespace treadle::detail
