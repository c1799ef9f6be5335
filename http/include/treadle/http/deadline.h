// DeadlineScope: how long a part of a handler may take.
#pragma once

#include <treadle/context.h>
#include <treadle/http/request.h>
#include <treadle/timer.h>

namespace treadle::http {

// Gives a request `limit` from now: until the scope ends its Context has that deadline. Make it on
// the request's goroutine, and destroy it there, the newest first. Never parks.
class DeadlineScope {
 public:
  DeadlineScope(const Request& req, Duration limit);
  ~DeadlineScope();
  DeadlineScope(const DeadlineScope&) = delete;
  DeadlineScope& operator=(const DeadlineScope&) = delete;

 private:
  const Request& request_;
  Context before_;
  ContextScope scope_;
};

}  // namespace treadle::http
