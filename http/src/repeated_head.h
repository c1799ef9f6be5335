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
// request, as browsers' do, mostly cost one comparison of two numbers. Not remembered is one with a
// chunked body: reading that goes on with llhttp's state behind its head.
//
// The views of what is recalled point into the memory kept here, so that a caller who keeps his
// RequestHead from one request to the next needs nothing copied: `memo` tells that it is still the
// same. What else follows from a head alone (its path taken apart, its route) can be kept beside
// that number. Invariant: numbers are never used twice in a process, and what one stands for
// neither changes nor moves until the number is gone from here.
//
// The comparison looks at every byte, so that its time says nothing about a head that somebody else
// may have sent.
class RepeatedHead {
 public:
  // True when `bytes` begin with it, under limits that it was found good under; then `head` is what
  // they say, as views into the memory here, and size() of them belong to it.
  bool recall(std::string_view bytes, const ParserLimits& limits, RequestHead& head) const;
  std::size_t size() const noexcept { return text_.size(); }

  // `head` was read from all of `bytes`.
  void note(std::string_view bytes, const ParserLimits& limits, const RequestHead& head);

 private:
  std::size_t last_size_ = 0;
  std::string text_;  // empty: nothing is remembered
  ParserLimits limits_;
  RequestHead head_;  // views into text_, and names of methods; its memo is not 0
};

}  // namespace treadle::http
