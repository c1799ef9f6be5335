// What a connection holds only while a request is in progress.
#pragma once

#include <memory>

#include "body.h"
#include "held_output.h"
#include "input_buffer.h"
#include "parser.h"
#include "request_state.h"
#include "response_writer.h"

namespace treadle::http::detail {

// Buffers, parser, request and response: some 40 KB, 56 where requests are pipelined, that an idle
// connection does without. Reused, so that a warm server serves a small request without an
// allocation.
struct Exchange {
  InputBuffer in;
  RequestParser parser;
  RequestState request;
  ConnectionBody body{parser, in};
  ResponseWriter writer;
  HeldRoom held;  // none of it between requests: lent to the connection's Transport
};

struct ExchangeReturner {
  void operator()(Exchange* x) const noexcept;
};
using ExchangePtr = std::unique_ptr<Exchange, ExchangeReturner>;

// An Exchange: the thread's own, one from the process's pool, or a new one. Its destruction puts it
// back, or frees it when there is no room for it. Never park; any thread.
ExchangePtr acquire_exchange();

}  // namespace treadle::http::detail
