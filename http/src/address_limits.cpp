#include "address_limits.h"

#include <netinet/in.h>

#include <cstring>
#include <new>

namespace treadle::http {
namespace {

// Tables smaller than this are not worth shrinking.
constexpr std::size_t kSmall = 64;

}  // namespace

AddressLimits::Key AddressLimits::key_of(const net::SocketAddress& client) noexcept {
  Key key{};
  if (client.family() == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, client.native(), sizeof in);
    std::memcpy(key.data(), &in.sin_addr, 4);
    key.back() = 4;
  } else if (client.family() == AF_INET6) {
    sockaddr_in6 in6{};
    std::memcpy(&in6, client.native(), sizeof in6);
    std::memcpy(key.data(), &in6.sin6_addr, 8);  // a /64
    key.back() = 6;
  }
  return key;
}

// By the hash's upper bits: the table takes its bucket from the lower ones.
AddressLimits::Shard& AddressLimits::shard_of(const Key& key) noexcept {
  return shards_[Hash{}(key) >> 60 & (kShards - 1)];
}

bool AddressLimits::try_add(const net::SocketAddress& client) noexcept {
  const Key key = key_of(client);
  if (key.back() == 0) return true;
  Shard& shard = shard_of(key);
  const std::lock_guard guard(shard.lock);
  try {
    std::size_t& count = shard.counts[key];
    if (count >= limit_) return false;  // which is one at least, so the entry was there
    ++count;
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

void AddressLimits::remove(const net::SocketAddress& client) noexcept {
  const Key key = key_of(client);
  if (key.back() == 0) return;
  Shard& shard = shard_of(key);
  const std::lock_guard guard(shard.lock);
  const auto found = shard.counts.find(key);
  if (found == shard.counts.end() || --found->second > 0) return;
  shard.counts.erase(found);
  if (shard.counts.bucket_count() <= kSmall ||
      shard.counts.size() > shard.counts.bucket_count() / 8)
    return;
  try {
    shard.counts.rehash(2 * shard.counts.size());
  } catch (const std::bad_alloc&) {
    // It stays as large as it is.
  }
}

std::size_t AddressLimits::clients() const noexcept {
  std::size_t all = 0;
  for (const Shard& shard : shards_) {
    const std::lock_guard guard(shard.lock);
    all += shard.counts.size();
  }
  return all;
}

std::size_t AddressLimits::buckets() const noexcept {
  std::size_t all = 0;
  for (const Shard& shard : shards_) {
    const std::lock_guard guard(shard.lock);
    all += shard.counts.bucket_count();
  }
  return all;
}

}  // namespace treadle::http
