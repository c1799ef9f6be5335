// The pairs of a query or of an urlencoded form.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <treadle/result.h>

namespace treadle::http {

class Request;

struct QueryPair {
  std::string name;
  std::string value;
};

// All pairs of the request's query, decoded ('+' is a space), in the order they came; names may
// come more than once. Pairs are parted by '&'; empty ones are dropped; without '=' the value is
// empty. Never parks.
// Errors: malformed_query (a bad escape), form_too_large (more pairs than
// RequestLimits::form_pairs). A handler that then writes nothing gets 400 or 413 answered for it.
Result<std::vector<QueryPair>> query_pairs(const Request& req);

}  // namespace treadle::http
