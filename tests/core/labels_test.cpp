#include <gtest/gtest.h>

#include <string>
#include <thread>

#include <treadle/chan.h>
#include <treadle/labels.h>
#include <treadle/task.h>

#include "support/goroutine.h"

namespace treadle {
namespace {

using Expected = Labels;

TEST(LabelsName, IsTheGoroutinesOwn) {
  test::run([] {
    EXPECT_EQ(goroutine_name(), "");
    set_goroutine_name("first");
    EXPECT_EQ(goroutine_name(), "first");
    spawn([] { EXPECT_EQ(goroutine_name(), ""); }).join();
    spawn([] { EXPECT_EQ(goroutine_name(), "second"); }, {.name = "second"}).join();
    set_goroutine_name("");
    EXPECT_EQ(goroutine_name(), "");
  });
  test::run([] { EXPECT_EQ(goroutine_name(), ""); });  // nothing is left on a G used again
}

TEST(LabelsSet, AreInheritedAtTheStart) {
  test::run([] {
    EXPECT_EQ(goroutine_labels(), Expected());
    set_goroutine_labels({{"b", "2"}, {"a", "1"}, {"b", "3"}});
    EXPECT_EQ(goroutine_labels(), (Expected{{"a", "1"}, {"b", "3"}}));
    auto gate = make_chan<int>();
    auto child = spawn([gate] {
      (void)gate.recv();
      EXPECT_EQ(goroutine_label("b"), "3");
      set_goroutine_labels({{"own", "x"}});
      spawn([] { EXPECT_EQ(goroutine_labels(), (Expected{{"own", "x"}})); }).join();
    });
    set_goroutine_labels({});  // not the child's any more
    spawn([] { EXPECT_EQ(goroutine_labels(), Expected()); }).join();
    gate.close();
    child.join();
    EXPECT_EQ(goroutine_labels(), Expected());
  });
}

TEST(LabelsSet, OfOptionsAreAdded) {
  test::run([] {
    set_goroutine_labels({{"a", "1"}, {"b", "1"}});
    spawn([] { EXPECT_EQ(goroutine_labels(), (Expected{{"a", "1"}, {"b", "2"}, {"c", "2"}})); },
          {.labels = {{"c", "2"}, {"b", "2"}}})
        .join();
    EXPECT_EQ(goroutine_labels(), (Expected{{"a", "1"}, {"b", "1"}}));
  });
  test::run([] { EXPECT_EQ(goroutine_labels(), Expected()); });
}

TEST(LabelsScope, NestAndEnd) {
  test::run([] {
    auto gate = make_chan<int>();
    Task<void> inside;
    {
      LabelScope outer{{"request", "1"}};
      {
        LabelScope inner{{"step", "x"}, {"request", "2"}};
        EXPECT_EQ(goroutine_labels(), (Expected{{"request", "2"}, {"step", "x"}}));
        inside = spawn([gate] {
          (void)gate.recv();
          EXPECT_EQ(goroutine_label("step"), "x");
        });
        gosched();
      }
      EXPECT_EQ(goroutine_labels(), (Expected{{"request", "1"}}));
    }
    EXPECT_EQ(goroutine_labels(), Expected());
    gate.close();
    inside.join();
  });
}

TEST(LabelsThread, PlainThreadsHaveThemToo) {
  std::thread([] {
    EXPECT_EQ(goroutine_name(), "");
    LabelScope scope{{"thread", "plain"}};
    set_goroutine_name("a thread");
    EXPECT_EQ(goroutine_name(), "a thread");
    spawn([] {
      EXPECT_EQ(goroutine_name(), "");
      EXPECT_EQ(goroutine_label("thread"), "plain");
    }).join();
  }).join();
  std::thread([] { EXPECT_EQ(goroutine_name() + goroutine_label("thread"), ""); }).join();
}

}  // namespace
}  // namespace treadle
