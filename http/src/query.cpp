#include <treadle/http/query.h>

#include <treadle/http/error.h>
#include <treadle/http/request.h>

#include <utility>

#include "request_content.h"
#include "url.h"

namespace treadle::http {

Result<std::vector<QueryPair>> query_pairs(const Request& req) {
  auto pairs = parse_query(req.raw_query(), detail::limits_of(req).form_pairs);
  if (pairs) return std::move(*pairs);
  if (pairs.error() == QueryError::too_many)
    return detail::refuse_content(req, Errc::form_too_large, "too many pairs in the query");
  return detail::refuse_content(req, Errc::malformed_query, "bad escape");
}

}  // namespace treadle::http
