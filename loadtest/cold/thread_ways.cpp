// A pool of threads that call pread().
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "cold.h"

namespace cold {

namespace {

void read_by_threads(const Job& job) {
  std::vector<std::jthread> threads;
  for (std::size_t i = 0; i < job.concurrency; ++i)
    threads.emplace_back([&job, room = job.room(i)] {
      while (const auto offset = job.blocks.next()) {
        const ssize_t n = ::pread(job.fd, room.data(), room.size(), static_cast<off_t>(*offset));
        if (n < 0) fail("pread", errno);
        if (static_cast<std::size_t>(n) != room.size()) fail("a short read");
        job.blocks.check(room, *offset);
      }
    });
}

}  // namespace

std::vector<Way> thread_ways() {
  return {{"threads", "a pool of threads with pread()", false, &read_by_threads}};
}

}  // namespace cold
