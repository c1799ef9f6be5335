#include "cold_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <vector>

#include "cold.h"

namespace cold {

namespace {

std::size_t resident_pages(int fd, std::uint64_t bytes) {
  void* map = ::mmap(nullptr, bytes, PROT_NONE, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) fail("mmap", errno);
  std::vector<unsigned char> pages((bytes + kPage - 1) / kPage);
  if (::mincore(map, bytes, pages.data()) != 0) fail("mincore", errno);
  ::munmap(map, bytes);
  return static_cast<std::size_t>(
      std::ranges::count_if(pages, [](unsigned char p) { return (p & 1) != 0; }));
}

}  // namespace

void make_file(const std::string& path, std::uint64_t bytes) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) fail(path, errno);
  std::mt19937_64 random(1);
  std::vector<std::uint64_t> piece(1024 * kPage / sizeof(std::uint64_t));
  for (std::uint64_t at = 0; at < bytes;) {
    std::ranges::generate(piece, random);
    const std::size_t length = std::min<std::uint64_t>(bytes - at, 1024 * kPage);
    for (std::size_t i = 0; i < length; i += kPage) piece[i / sizeof piece[0]] = at + i;
    const ssize_t n = ::write(fd, piece.data(), length);
    if (n != static_cast<ssize_t>(length)) fail("write", n < 0 ? errno : ENOSPC);
    at += length;
  }
  if (::fsync(fd) != 0) fail("fsync", errno);
  ::close(fd);
}

void make_cold(int fd, std::uint64_t bytes) {
  if (::fsync(fd) != 0) fail("fsync", errno);
  // Others may hold a page for a moment: a few attempts.
  for (int attempt = 0; attempt < 5; ++attempt) {
    if (const int e = ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED)) fail("posix_fadvise", e);
    if (resident_pages(fd, bytes) == 0) return;
    ::usleep(20'000);
  }
  fail("the file stays in the page cache: is it on a disk?");
}

bool is_from(std::span<const std::byte> block, std::uint64_t offset) noexcept {
  for (std::size_t i = 0; i < block.size(); i += kPage) {
    std::uint64_t says = 0;
    std::memcpy(&says, block.data() + i, sizeof says);
    if (says != offset + i) return false;
  }
  return true;
}

}  // namespace cold
