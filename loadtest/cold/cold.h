// What the ways of reading share: which blocks there are, and how what they cost is counted.
//
// Each way reads the same blocks of one large file, in the same random order, `concurrency` at a
// time. The first of them warm up (threads are made, queues fill); what is counted begins with the
// block after those and ends when the last block is there.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace cold {

std::int64_t now() noexcept;

// What the process has used up: all its threads, the kernel's io_uring workers among them.
struct Usage {
  std::int64_t when = 0;
  std::int64_t cpu_ns = 0;
  std::int64_t switches = 0;  // of threads, by their own will or not
  std::int64_t disk_bytes = 0;
};

class Blocks {
 public:
  // The blocks of `size` bytes of a file of `file_bytes`; none is given out after `seconds`.
  Blocks(std::size_t size, std::uint64_t file_bytes, std::size_t concurrency, double seconds);

  // The offset of the next one; nothing when there are no more, or the time is over. Any thread.
  std::optional<std::uint64_t> next();
  // Ends the process unless that is what make_file() wrote there.
  void check(std::span<const std::byte> block, std::uint64_t offset) const;
  std::size_t size() const noexcept { return size_; }

  // Once all have been read.
  void report() const;

 private:
  const std::size_t size_;
  std::vector<std::uint64_t> offsets_;
  std::size_t warm_;           // so many are not counted
  const std::int64_t length_;  // how long blocks are given out, from the first counted one on
  std::atomic<std::size_t> next_{0};
  std::atomic<std::size_t> given_{0};
  std::atomic<std::int64_t> end_;
  Usage begin_;  // written by whoever takes the first counted block
};

// How late something was that should have happened each millisecond. One thread at a time.
class Ticks {
 public:
  static constexpr std::int64_t kEvery = 1'000'000;
  void late(std::int64_t nanoseconds) { late_.push_back(nanoseconds); }
  void report();

 private:
  std::vector<std::int64_t> late_;
};

struct Job {
  int fd;
  std::size_t concurrency;
  Blocks& blocks;
  std::span<std::byte> memory;  // a block for each of them, touched already
  Ticks* ticks;                 // to be filled by ways that can, unless null

  std::span<std::byte> room(std::size_t i) const noexcept {
    return memory.subspan(i * blocks.size(), blocks.size());
  }
};

struct Way {
  std::string_view name;
  std::string_view what;
  bool ticks;  // it can fill Job::ticks
  void (*read)(const Job& job);
};

std::vector<Way> treadle_ways();
std::vector<Way> ring_ways();
std::vector<Way> thread_ways();

// For what cannot be gone on with: the message and the system's, then exit.
[[noreturn]] void fail(std::string_view what, int error = 0);

}  // namespace cold
