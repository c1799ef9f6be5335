// Paths, escapes and queries: what goes in one way comes out the other.
//
// Input: a path, '\n', a query.
#include <algorithm>
#include <string>

#include "fuzz.h"
#include "mime.h"
#include "url.h"

using namespace treadle;
using namespace treadle::http;

namespace {

void check_path(std::string_view path) {
  DecodedPath decoded;
  const DecodedPath::Status status = decoded.assign(path);
  if (status == DecodedPath::Status::bad) {
    FUZZ_CHECK(decoded.segments().empty());
    return;
  }
  // The segments, joined, are the decoded path, which is what decoding it as a whole gives.
  std::string joined;
  for (const std::string_view segment : decoded.segments()) joined.append("/").append(segment);
  if (decoded.trailing_slash()) joined += '/';
  FUZZ_CHECK(joined == decoded.text());
  FUZZ_CHECK(percent_decode(path) == joined);
  FUZZ_CHECK(joined.find('\0') == std::string::npos);
  for (std::size_t i = 0; i < decoded.segments().size(); ++i) {
    FUZZ_CHECK(decoded.rest(i).starts_with(decoded.segments()[i]));
  }

  const std::string clean = clean_path(path);
  FUZZ_CHECK(clean.starts_with('/') && !clean.starts_with("//") && !clean.starts_with("/\\"));
  FUZZ_CHECK(clean.find_first_of("\r\n\\ \"<>") == std::string::npos);
  FUZZ_CHECK(clean_path(clean) == clean);
  DecodedPath again;
  FUZZ_CHECK(again.assign(clean) == DecodedPath::Status::clean);
  if (status == DecodedPath::Status::clean) FUZZ_CHECK(again.text() == decoded.text());
}

void check_query(std::string_view query) {
  const auto pairs = parse_query(query, 100);
  if (!pairs) return;
  for (const QueryPair& pair : *pairs) {
    const auto first = std::find_if(pairs->begin(), pairs->end(),
                                    [&](const QueryPair& p) { return p.name == pair.name; });
    FUZZ_CHECK(query_value(query, pair.name) == first->value);
  }
  std::string rewritten;
  for (const QueryPair& pair : *pairs) {
    rewritten.append(percent_encode(pair.name)).append("=").append(percent_encode(pair.value));
    rewritten += '&';
  }
  const auto again = parse_query(rewritten, 100);
  FUZZ_CHECK(again && again->size() == pairs->size());
  for (std::size_t i = 0; i < pairs->size(); ++i) {
    FUZZ_CHECK((*again)[i].name == (*pairs)[i].name && (*again)[i].value == (*pairs)[i].value);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::string_view path = input.until('\n');
  check_path(path);
  check_path(std::string("/").append(path));
  check_query(input.rest());
  FUZZ_CHECK(percent_decode(percent_encode(path)) == std::string(path));
  FUZZ_CHECK(!mime_type(path).empty());
  return 0;
}
