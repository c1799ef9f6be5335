#include <unistd.h>
#include <valgrind/callgrind.h>

#include <cstdio>
#include <cstdlib>

#include "cases.h"

namespace instructions {

namespace {

// Callgrind has a switch a thread: what is turned on here must be turned off on the same one. They
// are touched by the thread of the one P only.
bool counting = false;
pid_t counted_thread = 0;

void toggle() { CALLGRIND_TOGGLE_COLLECT; }

void check_thread() {
  if (::gettid() != counted_thread)
    give_up("the P went to another thread in the middle, whose instructions are not counted");
}

}  // namespace

void begin_count() {
  counted_thread = ::gettid();
  counting = true;
  toggle();
}

void end_count(const char* what) {
  check_thread();
  toggle();
  counting = false;
  CALLGRIND_DUMP_STATS_AT(what);
}

NotCounted::NotCounted() {
  if (!counting) return;
  check_thread();
  toggle();
}

NotCounted::~NotCounted() {
  if (counting) toggle();
}

void give_up(std::string_view what) {
  std::fprintf(stderr, "treadle-instructions: %.*s\n", static_cast<int>(what.size()), what.data());
  std::_Exit(EXIT_FAILURE);
}

}  // namespace instructions
