// pure
#include "chunked_writer.h"

#include <gtest/gtest.h>

#include <limits>

using treadle::http::ChunkHead;

TEST(ChunkedWriter, HeadIsHexAndCrLf) {
  EXPECT_EQ(ChunkHead(1).view(), "1\r\n");
  EXPECT_EQ(ChunkHead(10).view(), "a\r\n");
  EXPECT_EQ(ChunkHead(16).view(), "10\r\n");
  EXPECT_EQ(ChunkHead(0xdeadbeef).view(), "deadbeef\r\n");
  EXPECT_EQ(ChunkHead(std::numeric_limits<std::uint64_t>::max()).view(), "ffffffffffffffff\r\n");
}

TEST(ChunkedWriter, CopiesKeepTheirText) {
  ChunkHead copy(1);
  {
    const ChunkHead original(0x2000);
    copy = original;
  }
  EXPECT_EQ(copy.view(), "2000\r\n");
}
