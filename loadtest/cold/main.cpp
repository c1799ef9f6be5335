// treadle-cold: what it costs to read blocks of a file that is not in the page cache.
//
//   treadle-cold --list
//       the ways: name, what it is
//   treadle-cold make FILE MIB
//       writes FILE
//   treadle-cold read WAY FILE BLOCK CONCURRENCY SECONDS
//       makes it cold, reads blocks of BLOCK bytes
//   treadle-cold tick WAY FILE BLOCK CONCURRENCY SECONDS
//       the same beside something that is to happen each millisecond
//   treadle-cold files DIR COUNT BYTES
//       writes small files into DIR
//   treadle-cold get PORT PID DIR COUNT CONNECTIONS cold|warm
//       makes them cold, or leaves them as they are, and gets each from a server
//
// Prints lines "metric value", of a block (a file) each: us, cpu_us (of all threads, the server's
// for get), switches (of threads), from_disk (bytes that came from the disk over those asked for:
// 1, or it was not cold); and mb_s, busy (CPU time over time). A process measures once.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>

#include "cold.h"
#include "cold_file.h"
#include "web.h"

namespace {

using cold::Way;

constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr std::uint64_t kMostMiB = 2048;
constexpr std::size_t kMostAtOnce = 1024;
constexpr std::size_t kMostFiles = 100'000;

std::vector<Way> all_ways() {
  std::vector<Way> all = cold::treadle_ways();
  for (const auto& more : {cold::ring_ways(), cold::thread_ways()})
    all.insert(all.end(), more.begin(), more.end());
  return all;
}

template <class Number>
Number number(std::string_view text, Number least, Number most) {
  Number n{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size() || !(n >= least && n <= most))
    cold::fail("'" + std::string(text) + "' is no number from " + std::to_string(least) + " to " +
               std::to_string(most));
  return n;
}

void read(const Way& way, const std::string& path, std::size_t block, std::size_t concurrency,
          double seconds, bool with_ticks) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) cold::fail(path, errno);
  const auto bytes = static_cast<std::uint64_t>(::lseek(fd, 0, SEEK_END));
  // No reading ahead: a block that came in with another would not be cold.
  if (const int e = ::posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM)) cold::fail("posix_fadvise", e);
  cold::Blocks blocks(block, bytes, concurrency, seconds);
  std::vector<std::byte> memory(block * concurrency);
  cold::Ticks ticks;
  cold::make_cold(fd, bytes);
  way.read({fd, concurrency, blocks, memory, with_ticks ? &ticks : nullptr});
  blocks.report();
  if (with_ticks) ticks.report();
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  const std::vector<Way> ways = all_ways();
  const std::string what = args.empty() ? "" : args[0];
  if (what == "--list" && args.size() == 1) {
    for (const Way& w : ways)
      std::printf("%s %s\n", std::string(w.name).c_str(), std::string(w.what).c_str());
  } else if (what == "make" && args.size() == 3) {
    cold::make_file(args[1], number<std::uint64_t>(args[2], 1, kMostMiB) * kMiB);
  } else if ((what == "read" || what == "tick") && args.size() == 6) {
    const auto way = std::ranges::find(ways, std::string_view(args[1]), &Way::name);
    if (way == ways.end()) cold::fail("no way '" + args[1] + "' here (see --list)");
    if (what == "tick" && !way->ticks) cold::fail(args[1] + " knows no ticks");
    const auto block = number<std::size_t>(args[3], cold::kPage, 64 * kMiB);
    if (block % cold::kPage != 0) cold::fail("blocks are whole pages");
    read(*way, args[2], block, number<std::size_t>(args[4], 1, kMostAtOnce),
         number<double>(args[5], 0.01, 60), what == "tick");
  } else if (what == "files" && args.size() == 4) {
    const auto count = number<std::size_t>(args[2], 1, kMostFiles);
    const auto bytes = number<std::size_t>(args[3], 1, 16 * kMiB);
    if (count * bytes > kMostMiB * kMiB) cold::fail("that would be too much");
    cold::make_files(args[1], count, bytes);
  } else if (what == "get" && args.size() == 7) {
    if (args[6] != "cold" && args[6] != "warm") cold::fail("'" + args[6] + "' is not cold or warm");
    cold::get_files({number<std::uint16_t>(args[1], 1, 65535),
                     number<pid_t>(args[2], 1, std::numeric_limits<pid_t>::max()), args[3],
                     number<std::size_t>(args[4], 1, kMostFiles),
                     number<std::size_t>(args[5], 1, kMostAtOnce), args[6] == "cold"});
  } else {
    cold::fail("wants --list, make, read, tick, files or get (see the top of main.cpp)");
  }
  std::fflush(stdout);
  std::_Exit(EXIT_SUCCESS);  // without taking anything apart
}
