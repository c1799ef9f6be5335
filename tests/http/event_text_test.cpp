// pure
// Server-sent events as text.
#include "event_text.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include <treadle/result.h>

using namespace treadle::http;
using namespace std::chrono_literals;
using treadle::Panic;

namespace {

std::string text_of(const Event& event) {
  std::string out;
  append_event(out, event);
  return out;
}

}  // namespace

TEST(EventText, FieldsComeBeforeTheData) {
  EXPECT_EQ(text_of({.data = "hello"}), "data: hello\n\n");
  EXPECT_EQ(text_of({.data = "x", .event = "tick", .id = "7", .retry = 1500ms}),
            "event: tick\nid: 7\nretry: 1500\ndata: x\n\n");
  EXPECT_EQ(text_of({.data = "", .id = ""}), "id: \ndata: \n\n");
}

TEST(EventText, EveryLineEndBeginsALine) {
  EXPECT_EQ(text_of({.data = "a\nb\rc\r\nd"}), "data: a\ndata: b\ndata: c\ndata: d\n\n");
  EXPECT_EQ(text_of({.data = "\n"}), "data: \ndata: \n\n");
  EXPECT_EQ(text_of({.data = "a\r\n\r\n: no comment"}), "data: a\ndata: \ndata: : no comment\n\n");
  EXPECT_EQ(text_of({.data = "x\r"}), "data: x\ndata: \n\n");
}

TEST(EventText, NamesAndIdsOfSeveralLinesPanic) {
  for (const std::string_view bad :
       {std::string_view("a\nb"), std::string_view("a\r"), std::string_view("\0", 1)}) {
    EXPECT_THROW(text_of({.event = bad}), Panic);
    EXPECT_THROW(text_of({.id = bad}), Panic);
  }
  EXPECT_THROW(text_of({.retry = -1ms}), Panic);
}

TEST(EventText, CommentsCannotBecomeEvents) {
  std::string out;
  append_comment(out, "");
  append_comment(out, "a\n\ndata: x");
  EXPECT_EQ(out, ": \n\n: a\n: \n: data: x\n\n");
}
