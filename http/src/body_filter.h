// What stands between a handler's body and the connection: compression, and nothing else so far.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "header_block.h"

namespace treadle::http::detail {

// Changes a response's body on its way. A ResponseWriter that has one asks it once, right before
// the head leaves; if the filter wants the body it is then given every byte of it, in order. The
// writer keeps counting what the handler writes against the length that it declared, and sends what
// the filter makes, whose length is announced when the whole of it is there and else left open.
//
// A filter belongs to one response. It lives until the response is over, which is after the handler
// and its middleware have returned. It must not park: its calls stand between the writer's own.
class BodyFilter {
 public:
  // A response whose head is about to leave.
  struct Head {
    int status;
    HeaderBlock& headers;  // may be changed, whatever the answer
    // Bytes of body, where known: declared, or all written already.
    std::optional<std::uint64_t> size;
    bool to_head;  // the answer to a HEAD: the fields matter, a body will not come
  };
  enum class Op : std::uint8_t {
    run,     // take the input; output may wait for more
    flush,   // everything taken so far must come out
    finish,  // and so must what ends the body
  };
  struct Step {
    std::size_t consumed = 0;
    std::size_t produced = 0;
    bool done = false;    // all of the input is taken, and what `op` asks for is out
    bool failed = false;  // it cannot go on: the response is cut
  };

  // Less room than this might never be enough: each flush of a gzip stream takes six bytes.
  static constexpr std::size_t kLeastRoom = 16;

  virtual ~BodyFilter() = default;
  BodyFilter(const BodyFilter&) = delete;
  BodyFilter& operator=(const BodyFilter&) = delete;

  // True when it wants the body. False: the writer lets go of it.
  virtual bool begin(const Head& head) = 0;
  // Takes from `in` and puts into `out`, of kLeastRoom bytes at least; called again, with what is
  // left and more room, until done.
  virtual Step step(std::string_view in, std::span<char> out, Op op) = 0;

 protected:
  BodyFilter() = default;
};

}  // namespace treadle::http::detail
