// AddressLimits: how many connections each client has open.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <unordered_map>

#include <treadle/net/addr.h>

#include "random_key_hash.h"

namespace treadle::http {

// Counts connections by IPv4 address or IPv6 /64, which is what one client gets at least. Others,
// Unix sockets, are not counted and always welcome.
//
// Invariants: the sum of all counts is the number of try_add() that said true less that of
// remove(); a client without connections has no entry, and a shard's table shrinks with it, so
// memory follows the connections that are open now. Clients cannot choose where they collide.
//
// Each shard has a plain mutex, held over no call that enters the runtime.
class AddressLimits {
 public:
  // `limit` connections for each client; 0 counts as 1.
  explicit AddressLimits(std::size_t limit) noexcept : limit_(limit == 0 ? 1 : limit) {}

  // Counts one more connection, or says false when its client has as many as it may, or when there
  // is no memory to count it in. Never parks; any thread.
  [[nodiscard]] bool try_add(const net::SocketAddress& client) noexcept;
  // Once for each try_add() that said true, with the same address. Never parks; any thread.
  void remove(const net::SocketAddress& client) noexcept;

  // Clients that have connections now, and the tables' sizes: what it holds in memory.
  std::size_t clients() const noexcept;
  std::size_t buckets() const noexcept;

 private:
  static constexpr std::size_t kShards = 16;

  // The part of an address that counts, with the family in the last byte; 0 there: not counted.
  using Key = std::array<char, 9>;
  static Key key_of(const net::SocketAddress& client) noexcept;
  struct Hash {
    std::size_t operator()(const Key& key) const noexcept {
      return RandomKeyHash{}({key.data(), key.size()});
    }
  };
  struct alignas(64) Shard {
    mutable std::mutex lock;
    std::unordered_map<Key, std::size_t, Hash> counts;  // under lock
  };
  Shard& shard_of(const Key& key) noexcept;

  const std::size_t limit_;
  std::array<Shard, kShards> shards_;
};

}  // namespace treadle::http
