// pure
#include "range.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

using namespace treadle::http;

namespace {

// "whole", "416", or the ranges as "first+length".
std::string ranges_of(std::string_view value, std::uint64_t size = 1000) {
  const RangeSet set = parse_range(value, size);
  if (set.outcome() == RangeOutcome::whole) return "whole";
  if (set.outcome() == RangeOutcome::unsatisfiable) return "416";
  std::string out;
  for (const ByteRange& r : set.ranges()) {
    out += (out.empty() ? "" : " ") + std::to_string(r.first) + "+" + std::to_string(r.length);
  }
  return out;
}

}  // namespace

TEST(Range, OneRangeIsInclusive) {
  EXPECT_EQ(ranges_of("bytes=0-0"), "0+1");
  EXPECT_EQ(ranges_of("bytes=0-499"), "0+500");
  EXPECT_EQ(ranges_of("bytes=999-999"), "999+1");
  EXPECT_EQ(ranges_of("Bytes=5-9"), "5+5");
}

TEST(Range, OpenEndReachesTheLastByte) {
  EXPECT_EQ(ranges_of("bytes=0-"), "0+1000");
  EXPECT_EQ(ranges_of("bytes=999-"), "999+1");
  EXPECT_EQ(ranges_of("bytes=10-5000"), "10+990");
}

TEST(Range, SuffixCountsFromTheEnd) {
  EXPECT_EQ(ranges_of("bytes=-1"), "999+1");
  EXPECT_EQ(ranges_of("bytes=-1000"), "0+1000");
}

TEST(Range, SuffixLongerThanFileIsWholeFile) { EXPECT_EQ(ranges_of("bytes=-1001"), "0+1000"); }

TEST(Range, BeyondTheEndIsUnsatisfiable) {
  EXPECT_EQ(ranges_of("bytes=1000-"), "416");
  EXPECT_EQ(ranges_of("bytes=1000-2000"), "416");
  EXPECT_EQ(ranges_of("bytes=-0"), "416");
  EXPECT_EQ(ranges_of("bytes=2000-2001, 3000-"), "416");
}

TEST(Range, PartsBeyondTheEndAreLeftOut) {
  EXPECT_EQ(ranges_of("bytes=0-9, 2000-, -5"), "0+10 995+5");
}

TEST(Range, SeveralRangesKeepTheirOrder) {
  EXPECT_EQ(ranges_of("bytes=500-599,0-99"), "500+100 0+100");
  EXPECT_EQ(ranges_of("bytes= 0-0 ,\t2-2,, 4-4 ,"), "0+1 2+1 4+1");
  EXPECT_EQ(ranges_of("bytes=0-9,5-14"), "0+10 5+10");
}

TEST(Range, MalformedValuesAreIgnored) {
  for (
      const char* value :
      {"",           "bytes",      "bytes=",        "bytes=,",     "bytes= ",       "bytes=a-b",
       "bytes=1",    "bytes=-",    "bytes=--1",     "bytes=5-4",   "bytes=1-2-3",   "bytes=0x0-1",
       "bytes=+1-2", "bytes=1 -2", "bytes=1- 2",    "bytes =0-1",  " bytes=0-1",    "items=0-1",
       "bytes:0-1",  "0-1",        "bytes=0-1;2-3", "bytes=0-1,x", "bytes=\"0-1\"", "bytes=0-9,9-8",
       "bytes=-1-",  "bytes=0.5-1"}) {
    EXPECT_EQ(ranges_of(value), "whole") << value;
  }
}

TEST(Range, HugeNumbersDoNotWrap) {
  EXPECT_EQ(ranges_of("bytes=0-18446744073709551615"), "0+1000");
  EXPECT_EQ(ranges_of("bytes=0-18446744073709551616"), "0+1000");
  EXPECT_EQ(ranges_of("bytes=18446744073709551616-"), "416");
  EXPECT_EQ(ranges_of("bytes=18446744073709551617-18446744073709551618"), "416");
  EXPECT_EQ(ranges_of("bytes=-99999999999999999999999"), "0+1000");
  EXPECT_EQ(ranges_of("bytes=1-", ~0ull), "1+18446744073709551614");
  EXPECT_EQ(ranges_of("bytes=0-18446744073709551613,-1", ~0ull),
            "0+18446744073709551614 18446744073709551614+1");
  EXPECT_EQ(ranges_of("bytes=0-,0-", ~0ull), "whole");
}

TEST(Range, MoreThanSixteenAreIgnored) {
  std::string value = "bytes=0-0";
  for (int i = 1; i < 16; ++i) value += "," + std::to_string(i) + "-" + std::to_string(i);
  EXPECT_EQ(parse_range(value, 1000).ranges().size(), 16u);
  EXPECT_EQ(ranges_of(value + ",16-16"), "whole");
  EXPECT_EQ(ranges_of(value + ",5000-"), "whole");
}

TEST(Range, MoreThanTheWholeInSumIsIgnored) {
  EXPECT_EQ(ranges_of("bytes=0-,0-0"), "whole");
  EXPECT_EQ(ranges_of("bytes=0-599,400-"), "whole");
  EXPECT_EQ(ranges_of("bytes=0-499,500-"), "0+500 500+500");
}

TEST(Range, EmptyRepresentationIsSentWhole) {
  EXPECT_EQ(ranges_of("bytes=0-", 0), "whole");
  EXPECT_EQ(ranges_of("bytes=-5", 0), "whole");
}

TEST(Range, ContentRangeNamesLastByteAndSize) {
  EXPECT_EQ(content_range({0, 500}, 1000), "bytes 0-499/1000");
  EXPECT_EQ(unsatisfied_content_range(1000), "bytes */1000");
}

TEST(Range, MultipartLengthIsWhatIsSent) {
  const std::vector<ByteRange> ranges = {{0, 10}, {990, 10}};
  std::string body;
  for (const ByteRange& r : ranges) {
    body += multipart_part_head("frontier", "text/plain", r, 1000) + std::string(r.length, 'x');
  }
  body += multipart_end("frontier");
  EXPECT_EQ(multipart_length("frontier", "text/plain", ranges, 1000), body.size());
  EXPECT_EQ(body,
            "\r\n--frontier\r\nContent-Type: text/plain\r\nContent-Range: bytes "
            "0-9/1000\r\n\r\nxxxxxxxxxx"
            "\r\n--frontier\r\nContent-Type: text/plain\r\nContent-Range: bytes "
            "990-999/1000\r\n\r\nxxxxxxxxxx"
            "\r\n--frontier--\r\n");
}
