#include "file_cache.h"

#include <iterator>
#include <mutex>
#include <utility>

namespace treadle::http::detail {

std::size_t OpenPath::descriptors() const noexcept {
  std::size_t n = plain ? 1 : 0;
  for (const OpenFilePtr& sibling : encoded) n += sibling ? 1 : 0;
  return n;
}

// A small table is one shard, so that its few places serve whatever is asked for.
FileCache::FileCache(std::size_t most)
    : most_per_shard_(most < kShards * 8 ? most : most / kShards),
      shards_(most < kShards * 8 ? 1 : kShards) {}

// The index uses the low bits.
FileCache::Shard& FileCache::shard_of(std::uint64_t hash) noexcept {
  return shards_[static_cast<std::size_t>(hash >> 32) % shards_.size()];
}

void FileCache::drop_locked(Shard& shard, Entries::iterator entry, Entries& dropped) {
  shard.index.erase({entry->hash, entry->path});
  shard.descriptors -= entry->value->descriptors();
  dropped.splice(dropped.end(), shard.entries, entry);
}

OpenPathPtr FileCache::find(std::string_view path, TimePoint now) {
  const std::uint64_t hash = siphash<2, 4>(key_, path);
  Shard& shard = shard_of(hash);
  const std::lock_guard guard(shard.lock);
  const auto found = shard.index.find({hash, path});
  if (found == shard.index.end()) return nullptr;
  const Entries::iterator entry = found->second;
  if (now - entry->opened >= kFresh) return nullptr;
  shard.entries.splice(shard.entries.begin(), shard.entries, entry);
  return entry->value;
}

void FileCache::put(std::string_view path, OpenPathPtr value, TimePoint opened) {
  const std::size_t cost = value->descriptors();
  if (cost > most_per_shard_) return;
  const std::uint64_t hash = siphash<2, 4>(key_, path);
  Shard& shard = shard_of(hash);
  Entries fresh;
  fresh.push_back({hash, std::string(path), std::move(value), opened});
  Entries dropped;  // goes after the lock
  const std::lock_guard guard(shard.lock);
  const auto found = shard.index.find({hash, path});
  if (found != shard.index.end()) {
    if (found->second->opened > opened) return;
    drop_locked(shard, found->second, dropped);
  }
  while (shard.descriptors + cost > most_per_shard_)
    drop_locked(shard, std::prev(shard.entries.end()), dropped);
  // The index first: it may find no memory, and then nothing has happened.
  const Entries::iterator entry = fresh.begin();
  shard.index.emplace(Key{hash, entry->path}, entry);
  shard.entries.splice(shard.entries.begin(), fresh);
  shard.descriptors += cost;
}

bool FileCache::sweep(TimePoint now) {
  bool left = false;
  for (Shard& shard : shards_) {
    Entries dropped;
    const std::lock_guard guard(shard.lock);
    for (auto entry = shard.entries.begin(); entry != shard.entries.end();) {
      const auto next = std::next(entry);
      if (now - entry->opened >= kFresh) drop_locked(shard, entry, dropped);
      entry = next;
    }
    left |= !shard.entries.empty();
  }
  return left;
}

void FileCache::clear() {
  for (Shard& shard : shards_) {
    Entries dropped;
    const std::lock_guard guard(shard.lock);
    shard.index.clear();
    shard.descriptors = 0;
    dropped.swap(shard.entries);
  }
}

std::size_t FileCache::descriptors() {
  std::size_t n = 0;
  for (Shard& shard : shards_) {
    const std::lock_guard guard(shard.lock);
    n += shard.descriptors;
  }
  return n;
}

}  // namespace treadle::http::detail
