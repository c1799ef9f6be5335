// Ranges stay within the representation; dates and entity tags agree with themselves; a coding is
// chosen from those there are.
//
// Input: eight bytes of size, then a Range value, '\n', then a value for the conditional fields and
// Accept-Encoding.
#include <string>
#include <vector>

#include "accept_encoding.h"
#include "conditional.h"
#include "fuzz.h"
#include "http_date.h"
#include "range.h"

using namespace treadle;
using namespace treadle::http;

namespace {

void check_range(std::string_view value, std::uint64_t size) {
  const RangeSet set = parse_range(value, size);
  FUZZ_CHECK((set.outcome() == RangeOutcome::partial) == !set.ranges().empty());
  FUZZ_CHECK(set.ranges().size() <= RangeSet::kMaxRanges);
  std::uint64_t left = size;
  for (const ByteRange& range : set.ranges()) {
    FUZZ_CHECK(range.length > 0 && range.length <= left);
    FUZZ_CHECK(range.first < size && range.length <= size - range.first);
    left -= range.length;
    // The field that a 206 carries reads back as the range it names.
    const std::string field = content_range(range, size);
    const std::string back = "bytes=" + field.substr(6, field.find('/') - 6);
    const RangeSet again = parse_range(back, size);
    FUZZ_CHECK(again.ranges().size() == 1 && again.ranges()[0] == range);
  }
  if (set.outcome() == RangeOutcome::partial && size < 1u << 30) {
    std::uint64_t total = multipart_end("b").size();
    for (const ByteRange& range : set.ranges()) {
      total += multipart_part_head("b", "t/x", range, size).size() + range.length;
    }
    FUZZ_CHECK(total == multipart_length("b", "t/x", set.ranges(), size));
  }
}

void check_date(std::string_view text, std::int64_t now) {
  const auto time = parse_http_date(text, now);
  if (!time) return;
  const HttpDate formatted(*time);
  FUZZ_CHECK(formatted.view().size() == 29);
  // A leap second at the end of 9999 is formatted as the second before.
  if (*time < 253402300800) FUZZ_CHECK(parse_http_date(formatted.view(), now) == time);
}

void check_conditions(std::string_view value, std::int64_t now) {
  const Validators current{.exists = true, .etag = "\"a,b\"", .last_modified = 784111777};
  for (const char* name :
       {"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"}) {
    const std::vector<HeaderField> fields = {{name, value}};
    const HeaderView view(fields);
    FUZZ_CHECK(evaluate_preconditions("PUT", view, current, now) != Precondition::not_modified);
    evaluate_preconditions("GET", view, current, now);
  }
  const std::vector<HeaderField> fields = {{"If-Range", value}};
  const bool holds = if_range_holds(HeaderView(fields), current, now);
  FUZZ_CHECK(!holds || value == current.etag || parse_http_date(value, now) == 784111777);
  FUZZ_CHECK(!etag_strong_equal(value, value) || etag_weak_equal(value, value));
}

void check_coding(std::string_view accept) {
  const std::vector<Coding> all = {Coding::br, Coding::zstd, Coding::gzip};
  const Coding best = accept_encoding::choose(accept, all);
  FUZZ_CHECK(accept_encoding::choose(accept, {}) == Coding::identity);
  for (const Coding coding : all) {
    const Coding alone = accept_encoding::choose(accept, std::vector{coding});
    FUZZ_CHECK(alone == coding || alone == Coding::identity);
    // More to choose from does not make what is liked unacceptable.
    if (alone == coding) FUZZ_CHECK(best != Coding::identity);
  }
  if (best == Coding::identity) return;
  FUZZ_CHECK(accept_encoding::choose(accept, std::vector{best}) == best);
  const std::string refused = std::string(accept) + "," + std::string(coding_name(best)) + ";q=0";
  FUZZ_CHECK(accept_encoding::choose(refused, all) != best);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::uint64_t number = input.number();
  const std::string_view range = input.until('\n');
  check_range(range, number);
  check_range(range, number & 1023);
  const auto now = static_cast<std::int64_t>(number);
  check_date(input.rest(), now);
  check_conditions(input.rest(), now);
  check_coding(input.rest());
  return 0;
}
