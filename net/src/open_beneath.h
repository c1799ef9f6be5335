// Opening files below a directory and never outside.
#pragma once

#include <string>

namespace treadle::net {

// All return a descriptor, or -errno; but for the first they block the calling thread as open(2)
// does.
// `relative` holds no zero byte.

// As open_beneath_at_once(), but only by what the kernel has in memory of the whole path, and on
// the mount of `directory`: it waits for no disk. A descriptor, or -ENOENT; with any other error
// another way has to be asked, with -ENOSYS from the start.
int open_beneath_cached(int directory, const std::string& relative) noexcept;

// By openat2(2), which resolves the whole path in the kernel. -ENOSYS where it is lacking.
int open_beneath_at_once(int directory, const std::string& relative) noexcept;

// One segment at a time, following no symbolic link and no "..": for kernels and sandboxes without
// openat2. What is a link, or "..", gives -ELOOP or -EXDEV.
int open_beneath_by_segments(int directory, const std::string& relative);

}  // namespace treadle::net
