// Token buckets by key, in bounded memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include <treadle/mutex.h>
#include <treadle/net/addr.h>
#include <treadle/rate_limiter.h>
#include <treadle/timer.h>

#include "random_key_hash.h"

namespace treadle::http {

// A bucket is one number: the time at which it will be full again, were it left alone (GCRA, the
// "theoretical arrival time" of ITU-T I.371). It says the same as TokenBucket's tokens and time,
// and fits beside its key's hash into 16 bytes. A bucket that has never been used is one that was
// full long ago, so memory of zeros is a table of full buckets.
//
// The table is sets of eight entries. A key's hash chooses its set; where that is full of others
// the entry that will be full soonest gives way, the one whose loss forgives the least. The hash
// has a random key, so that nobody can aim at a set. Two keys with the same 64 bits share a bucket.
//
// Sets are guarded by some dozens of mutexes, each for every n-th set.
class RateTable {
 public:
  // Panics on a rate that is not above zero, a burst or `max_keys` below 1, and where filling a
  // bucket would take a century or more.
  RateTable(Rate rate, std::int64_t burst, std::size_t max_keys,
            const SipKey& hash_key = SipKey::random());

  // Zero when the event may happen now, and has been counted; else how long until it may. Parks the
  // calling G while another looks at the same set; any thread.
  Duration take(std::string_view key, TimePoint now);

 private:
  static constexpr std::size_t kWays = 8;
  static constexpr std::size_t kMutexes = 64;

  struct Entry {
    std::uint64_t hash = 0;  // 0: not used
    std::int64_t full = 0;   // when the bucket is full again
  };
  using Set = std::array<Entry, kWays>;
  struct alignas(64) Guard {
    Mutex mutex;
  };

  static Entry& find(Set& set, std::uint64_t hash) noexcept;

  std::int64_t interval_ = 0;  // ns for one token
  std::int64_t most_ = 0;      // how far ahead `full` may be for one more to be allowed
  SipKey hash_key_;
  std::vector<Set> sets_;  // a power of two of them
  std::unique_ptr<std::array<Guard, kMutexes>> guards_;
};

// What is counted as one client: an IPv4 address, the first 64 bits of an IPv6 address, or every
// peer on Unix sockets, which have no addresses of their own.
class ClientKey {
 public:
  explicit ClientKey(const net::SocketAddress& address) noexcept;
  std::string_view view() const noexcept { return {bytes_.data(), size_}; }

 private:
  std::array<char, 9> bytes_{};
  std::size_t size_ = 1;
};

}  // namespace treadle::http
