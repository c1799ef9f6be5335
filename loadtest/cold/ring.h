// io_uring by its bare system calls: reads only, one ring, its user keeps calls apart.
#pragma once

#include <linux/io_uring.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

namespace cold {

class Ring {
 public:
  // Room for `entries` reads at once. `flags` are IORING_SETUP_...
  Ring(unsigned entries, unsigned flags);
  ~Ring();
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  // Whether the kernel makes rings with these flags.
  static bool has(unsigned flags) noexcept;

  // Each completion is counted in `event_fd` from now on.
  void notify(int event_fd);
  // Puts a read into the queue, which must have room; submit() tells the kernel.
  void queue_read(int fd, std::span<std::byte> into, std::uint64_t offset, std::uint64_t tag);
  // Submits what is queued, and waits until `wanted` completions are there.
  void submit(unsigned wanted);

  struct Completion {
    std::uint64_t tag;
    std::int32_t result;  // as read() returns it, or -errno
  };
  std::optional<Completion> take();

 private:
  void map_queues(const io_uring_params& params);

  int fd_ = -1;
  unsigned flags_;
  unsigned queued_ = 0;
  std::span<std::byte> queues_;
  std::span<io_uring_sqe> entries_;
  // Heads and tails are shared with the kernel: who writes one releases it, who reads the other's
  // acquires it.
  unsigned* sq_tail_ = nullptr;
  unsigned* cq_head_ = nullptr;
  unsigned* cq_tail_ = nullptr;
  unsigned sq_mask_ = 0;
  unsigned cq_mask_ = 0;
  unsigned* sq_index_ = nullptr;
  io_uring_cqe* completions_ = nullptr;
};

}  // namespace cold
