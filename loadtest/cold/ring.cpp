#include "ring.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "cold.h"

namespace cold {

namespace {

int setup(unsigned entries, io_uring_params& params) noexcept {
  return static_cast<int>(::syscall(SYS_io_uring_setup, entries, &params));
}

void* map(int fd, std::size_t size, std::uint64_t what) {
  void* p = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
                   static_cast<off_t>(what));
  if (p == MAP_FAILED) fail("mmap of a ring", errno);
  return p;
}

unsigned* word(std::span<std::byte> in, unsigned offset) noexcept {
  return reinterpret_cast<unsigned*>(in.data() + offset);
}

unsigned acquire(unsigned& shared) noexcept {
  return std::atomic_ref(shared).load(std::memory_order_acquire);
}

void release(unsigned& shared, unsigned value) noexcept {
  std::atomic_ref(shared).store(value, std::memory_order_release);
}

}  // namespace

bool Ring::has(unsigned flags) noexcept {
  io_uring_params params{};
  params.flags = flags;
  const int fd = setup(1, params);
  if (fd < 0) return false;
  ::close(fd);
  return true;
}

Ring::Ring(unsigned entries, unsigned flags) : flags_(flags) {
  io_uring_params params{};
  params.flags = flags;
  fd_ = setup(entries, params);
  if (fd_ < 0) fail("io_uring_setup", errno);
  if (!(params.features & IORING_FEAT_SINGLE_MMAP)) fail("a kernel before Linux 5.4");
  map_queues(params);
}

void Ring::map_queues(const io_uring_params& params) {
  const auto& sq = params.sq_off;
  const auto& cq = params.cq_off;
  const std::size_t size = std::max(sq.array + params.sq_entries * sizeof(unsigned),
                                    cq.cqes + params.cq_entries * sizeof(io_uring_cqe));
  queues_ = {static_cast<std::byte*>(map(fd_, size, IORING_OFF_SQ_RING)), size};
  entries_ = {static_cast<io_uring_sqe*>(
                  map(fd_, params.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES)),
              params.sq_entries};
  sq_tail_ = word(queues_, sq.tail);
  sq_mask_ = *word(queues_, sq.ring_mask);
  sq_index_ = word(queues_, sq.array);
  cq_head_ = word(queues_, cq.head);
  cq_tail_ = word(queues_, cq.tail);
  cq_mask_ = *word(queues_, cq.ring_mask);
  completions_ = reinterpret_cast<io_uring_cqe*>(queues_.data() + cq.cqes);
}

Ring::~Ring() {
  ::munmap(entries_.data(), entries_.size_bytes());
  ::munmap(queues_.data(), queues_.size());
  ::close(fd_);
}

void Ring::notify(int event_fd) {
  if (::syscall(SYS_io_uring_register, fd_, IORING_REGISTER_EVENTFD, &event_fd, 1) != 0)
    fail("IORING_REGISTER_EVENTFD", errno);
}

void Ring::queue_read(int fd, std::span<std::byte> into, std::uint64_t offset, std::uint64_t tag) {
  const unsigned tail = *sq_tail_;  // only we write it
  const unsigned slot = tail & sq_mask_;
  io_uring_sqe& e = entries_[slot];
  e = {};
  e.opcode = IORING_OP_READ;
  e.fd = fd;
  e.addr = reinterpret_cast<std::uint64_t>(into.data());
  e.len = static_cast<std::uint32_t>(into.size());
  e.off = offset;
  e.user_data = tag;
  sq_index_[slot] = slot;
  release(*sq_tail_, tail + 1);
  ++queued_;
}

void Ring::submit(unsigned wanted) {
  do {
    const unsigned get = wanted > 0 ? IORING_ENTER_GETEVENTS : 0;
    const long n = ::syscall(SYS_io_uring_enter, fd_, queued_, wanted, get, nullptr, 0);
    if (n < 0 && errno != EINTR) fail("io_uring_enter", errno);
    if (n > 0) queued_ -= static_cast<unsigned>(n);
  } while (queued_ > 0);
}

std::optional<Ring::Completion> Ring::take() {
  const unsigned head = *cq_head_;  // only we write it
  if (head == acquire(*cq_tail_)) return {};
  const io_uring_cqe& c = completions_[head & cq_mask_];
  const Completion done{c.user_data, c.res};
  release(*cq_head_, head + 1);
  return done;
}

}  // namespace cold
