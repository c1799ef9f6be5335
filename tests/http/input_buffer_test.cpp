// pure: memory only.
#include "input_buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace treadle::http::detail {
namespace {

// Puts `text` in as if it had been read; how much of it fitted.
std::size_t fill(InputBuffer& b, std::span<std::byte> room, std::string_view text) {
  const std::size_t n = std::min(room.size(), text.size());
  std::ranges::copy(text.substr(0, n), reinterpret_cast<char*>(room.data()));
  b.append(n);
  return n;
}

TEST(InputBuffer, NewOneIsEmptyAndHoldsNoMemory) {
  const InputBuffer b;
  EXPECT_TRUE(b.empty());
  EXPECT_EQ(b.unread(), "");
}

TEST(InputBuffer, UnreadBytesMoveToTheFront) {
  InputBuffer b;
  fill(b, b.room_for_head(), "first second");
  b.consume(6);
  const std::size_t before = b.room_for_head().size();
  EXPECT_EQ(b.unread(), "second");
  b.consume(6);
  EXPECT_TRUE(b.empty());
  EXPECT_EQ(b.room_for_head().size(), before + 6);
}

TEST(InputBuffer, GrowsForALongHeadAndShrinksBack) {
  InputBuffer b;
  const std::string text(40'000, 'x');
  std::string_view rest = text;
  while (!rest.empty()) rest.remove_prefix(fill(b, b.room_for_head(), rest));
  EXPECT_EQ(b.unread(), text);
  b.clear();
  b.shrink();
  EXPECT_TRUE(b.empty());
  EXPECT_EQ(b.room_for_head().size(), InputBuffer::kInitial - InputBuffer::kBodyRoom);
}

TEST(InputBuffer, PinnedHeadStaysWhereItIsWhileBodiesPass) {
  InputBuffer b;
  // As much head as a read can bring, so that the body has the least room.
  const std::string head(b.room_for_head().size(), 'h');
  ASSERT_EQ(fill(b, b.room_for_head(), head), head.size());
  const std::string_view view = b.unread();
  b.consume(head.size());
  b.pin();
  for (int i = 0; i < 100; ++i) {
    const std::span<std::byte> room = b.room_for_body();
    ASSERT_GE(room.size(), InputBuffer::kBodyRoom);
    fill(b, room, std::string(room.size(), 'b'));
    b.consume(b.unread().size());
  }
  EXPECT_EQ(view, head);
  fill(b, b.room_for_body(), "next");
  b.unpin();
  EXPECT_EQ(b.unread(), "next");
  b.room_for_head();
  EXPECT_EQ(b.unread(), "next");
}

TEST(InputBuffer, BytesBehindBodiesDoNotMakeItGrowForEver) {
  InputBuffer b;
  fill(b, b.room_for_head(), "h");
  for (int i = 0; i < 20; ++i) {
    b.begin_head();
    b.consume(1);
    b.pin();
    b.consume(b.unread().size());
    const std::span<std::byte> room = b.room_for_body();
    EXPECT_LE(room.size(), InputBuffer::kInitial);
    fill(b, room, std::string(room.size(), 'h'));
    b.unpin();
  }
}

TEST(InputBuffer, HeadThatCameWithABodyLeavesRoomForItsOwn) {
  // The body before it was read to the block's end; what follows it is short, or nearly the block.
  for (std::size_t next : {10U, 5000U, 16'000U}) {
    InputBuffer b;
    fill(b, b.room_for_head(), "head");
    b.consume(4);
    b.pin();
    const std::span<std::byte> room = b.room_for_body();
    const std::string all(room.size() - next, 'b');
    const std::string following(next, 'n');
    ASSERT_EQ(fill(b, room, all + following), room.size());
    b.consume(all.size());
    b.unpin();

    b.begin_head();
    EXPECT_EQ(b.unread(), following);
    b.consume(next);
    b.pin();
    EXPECT_GE(b.room_for_body().size(), InputBuffer::kBodyRoom) << next;
  }
}

}  // namespace
}  // namespace treadle::http::detail
