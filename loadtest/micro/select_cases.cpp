// select over four channels.
#include <treadle/chan.h>
#include <treadle/go.h>
#include <treadle/select.h>

#include <array>

#include "micro.h"

namespace micro {

namespace {

using Channels = std::array<treadle::Chan<int>, 4>;

Channels make_channels(std::size_t capacity) {
  Channels ch;
  for (auto& c : ch) c = treadle::make_chan<int>(capacity);
  return ch;
}

int select_of_4(const Channels& ch) {
  int got = 0;
  const auto take = [&got](int v) { got = v; };
  treadle::select(treadle::on_recv(ch[0], take), treadle::on_recv(ch[1], take),
                  treadle::on_recv(ch[2], take), treadle::on_recv(ch[3], take));
  return got;
}

// All four hold an element; an operation is a select that takes one and a send that puts it back.
void select_ready(std::int64_t n) {
  const Channels ch = make_channels(1);
  for (int i = 0; i < 4; ++i) ch[static_cast<std::size_t>(i)].send(i);
  for (std::int64_t i = 0; i < n; ++i) {
    const int got = select_of_4(ch);
    ch[static_cast<std::size_t>(got)].send(got);
  }
}

// One goroutine waits in a select over four channels, another sends to them in turn; an operation
// is one element.
void select_parked(std::int64_t n) {
  const Channels ch = make_channels(0);
  treadle::go([ch, n] {
    for (std::int64_t i = 0; i < n; ++i) ch[static_cast<std::size_t>(i % 4)].send(1);
  });
  for (std::int64_t i = 0; i < n; ++i) (void)select_of_4(ch);
}

}  // namespace

void add_select_cases() {
  add_case("select-ready", 200'000, &select_ready);
  add_case("select-parked", 200'000, &select_parked);
}

}  // namespace micro
