// A head that comes again.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "parser.h"

namespace treadle::http {

// Remembers the last head that was found good, byte for byte, with what was found in it: parsing is
// a pure function, so the same bytes have the same meaning. Programs that ask again and again
// (health checks, pollers, clients of an API, load generators) send such heads, and are spared most
// of their user time.
//
// A head is remembered when it is as long as the one before it: those that differ from request to
// request, as browsers' do, mostly cost one comparison of two numbers. Only heads of requests
// without a body are.
//
// The comparison looks at every byte, so that its time says nothing about a head that somebody else
// may have sent.
class RepeatedHead {
 public:
  // True when `bytes` begin with it, under limits that it was found good under; then `head` is what
  // they say, as views into `bytes`, and size() of them belong to it.
  bool recall(std::string_view bytes, const ParserLimits& limits, RequestHead& head) const;
  std::size_t size() const noexcept { return text_.size(); }

  // `head` was read from all of `bytes`.
  void note(std::string_view bytes, const ParserLimits& limits, const RequestHead& head);

 private:
  std::size_t last_size_ = 0;
  std::string text_;  // empty: nothing is remembered
  ParserLimits limits_;
  RequestHead head_;  // views into text_, and names of methods
};

}  // namespace treadle::http
