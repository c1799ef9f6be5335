#include "rate_table.h"

#include <netinet/in.h>

#include <treadle/result.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace treadle::http {
namespace {

// A century; sums of two such spans and a clock's reading still fit.
constexpr double kLongestFill = 3.2e18;

}  // namespace

RateTable::RateTable(Rate rate, std::int64_t burst, std::size_t max_keys, const SipKey& hash_key)
    : hash_key_(hash_key), guards_(std::make_unique<std::array<Guard, kMutexes>>()) {
  if (!(rate.events_per_second > 0)) throw Panic("treadle::http: rate_limit: rate not above 0");
  if (burst < 1) throw Panic("treadle::http: rate_limit: burst below 1");
  if (max_keys < 1 || max_keys > std::size_t{1} << 32)
    throw Panic("treadle::http: rate_limit: max_keys not in 1 to 2^32");
  const double interval = 1e9 / rate.events_per_second;
  if (interval * static_cast<double>(burst) > kLongestFill)
    throw Panic("treadle::http: rate_limit: the burst would take more than a century to come back");
  interval_ = static_cast<std::int64_t>(interval);
  most_ = static_cast<std::int64_t>(interval * static_cast<double>(burst - 1));
  sets_.resize(std::bit_ceil((max_keys + kWays - 1) / kWays));
}

RateTable::Entry& RateTable::find(Set& set, std::uint64_t hash) noexcept {
  const auto same = std::ranges::find(set, hash, &Entry::hash);
  if (same != set.end()) return *same;
  Entry& victim = *std::ranges::min_element(set, {}, &Entry::full);
  victim = {hash, 0};
  return victim;
}

Duration RateTable::take(std::string_view key, TimePoint now) {
  const std::uint64_t hash = std::max<std::uint64_t>(siphash<2, 4>(hash_key_, key), 1);
  const std::size_t index = hash & (sets_.size() - 1);
  const std::int64_t at = now.time_since_epoch().count();
  Mutex& mutex = (*guards_)[index % kMutexes].mutex;
  mutex.lock();
  Entry& entry = find(sets_[index], hash);
  const std::int64_t full = std::max(entry.full, at);
  const Duration wait(full - at - most_);
  if (wait <= Duration::zero()) entry.full = full + interval_;
  mutex.unlock();
  return std::max(wait, Duration::zero());
}

ClientKey::ClientKey(const net::SocketAddress& address) noexcept {
  const sockaddr* native = address.native();
  if (address.family() == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, native, sizeof v4);
    bytes_[0] = '4';
    std::memcpy(&bytes_[1], &v4.sin_addr, sizeof v4.sin_addr);
    size_ = 1 + sizeof v4.sin_addr;
  } else if (address.family() == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, native, sizeof v6);
    bytes_[0] = '6';
    std::memcpy(&bytes_[1], &v6.sin6_addr, 8);
    size_ = 9;
  } else {
    bytes_[0] = 'u';
  }
}

}  // namespace treadle::http
