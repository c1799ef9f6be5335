// Whether connections are kept for another request.
#pragma once

#include <atomic>

namespace treadle::http::detail {

// The server's, read by its connections when a head leaves and when they become idle. Sequentially
// consistent: whoever sets one then looks through the connections, and a connection that becomes
// idle looks here afterwards, so that one of the two sees the other.
struct KeepAlive {
  std::atomic<bool> stopping{false};  // shutdown has begun, for good
  std::atomic<int> full{0};           // how many wait for a place, at the limit of connections

  bool allowed() const noexcept { return !stopping.load() && full.load() == 0; }
};

}  // namespace treadle::http::detail
