// Chunked bodies: the same body however it is cut, and the one that a second reader finds.
//
// Input: a byte that seeds the cuts, then what follows the head of a chunked request.
#include <memory>
#include <string>
#include <string_view>

#include "cuts.h"
#include "fuzz.h"
#include "parser.h"
#include "reference.h"

using namespace treadle;
using http::ParseStatus;

namespace {

constexpr std::string_view kHead =
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";

struct Outcome {
  ParseStatus status = ParseStatus::need_more;
  std::string reason;
  std::string body;
  fuzz::Fields trailers;
  std::size_t consumed = 0;

  bool operator==(const Outcome&) const = default;
};

// Feeds the pieces one by one, each with what the one before left, as a connection does.
Outcome read_pieces(const std::vector<std::string_view>& pieces) {
  http::RequestParser parser;
  http::RequestHead head;
  const http::ParserLimits limits;
  FUZZ_CHECK(parser.parse_head(kHead, limits, head).status == ParseStatus::complete);
  Outcome out;
  std::string unread;
  for (const std::string_view piece : pieces) {
    if (out.status != ParseStatus::need_more) break;
    unread += piece;
    while (!unread.empty() && out.status == ParseStatus::need_more) {
      // In memory of exactly its size, so that ASan sees a read too far.
      const std::unique_ptr<char[]> copy(new char[unread.size()]);
      unread.copy(copy.get(), unread.size());
      const auto result = parser.parse_body({copy.get(), unread.size()}, limits);
      out.status = result.status;
      if (result.status == ParseStatus::error) {
        FUZZ_CHECK(result.error.status == 400 || result.error.status == 431);
        out.reason = result.error.reason;
        break;
      }
      FUZZ_CHECK(result.consumed > 0 && result.consumed <= unread.size());
      out.body += result.data;
      out.consumed += result.consumed;
      unread.erase(0, result.consumed);
    }
  }
  if (out.status == ParseStatus::complete) {
    for (const auto& [name, value] : parser.trailers()) out.trailers.emplace_back(name, value);
  }
  // How far a refused body was read depends on the cuts; that it was refused, and why, does not.
  if (out.status == ParseStatus::error) out.consumed = 0;
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::uint8_t seed = input.byte();
  const std::string_view stream = input.rest();

  const Outcome whole = read_pieces({stream});
  FUZZ_CHECK(whole == read_pieces(fuzz::cut(stream, seed)));
  if (size <= 512) FUZZ_CHECK(whole == read_pieces(fuzz::cut(stream, 0)));

  fuzz::Reference reference(stream);
  std::string body;
  fuzz::Fields trailers;
  const bool well_formed = reference.chunks(body, trailers);
  if (whole.status == ParseStatus::complete) {
    FUZZ_CHECK(well_formed);
    FUZZ_CHECK(whole.body == body && whole.trailers == trailers);
    FUZZ_CHECK(whole.consumed == reference.consumed());
  } else if (well_formed) {
    // Only for what the parser refuses on top: limits, and fields that no trailer may be.
    FUZZ_CHECK(whole.status == ParseStatus::error);
    FUZZ_CHECK(!trailers.empty() || whole.reason == "chunk extensions too long");
  }
  return 0;
}
