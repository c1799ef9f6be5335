// The file that is read: on a disk, and not in the page cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace cold {

inline constexpr std::size_t kPage = 4096;

// Writes a file of `bytes` that cannot be compressed, and waits until it is on the disk.
void make_file(const std::string& path, std::uint64_t bytes);
// Drops the file from the page cache; ends the process unless it is out of it then.
void make_cold(int fd, std::uint64_t bytes);
// Whether each page of `block` begins with its own offset in the file.
bool is_from(std::span<const std::byte> block, std::uint64_t offset) noexcept;

}  // namespace cold
