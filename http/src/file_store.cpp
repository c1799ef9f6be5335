#include "file_store.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <treadle/http/header.h>
#include <treadle/ticker.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "path_glob.h"

namespace treadle::http::detail {
namespace {

net::Directory open_root(const std::string& root) {
  auto directory = net::Directory::open(root);
  if (!directory)
    throw Panic(fmt::format("http: file_server: {}: {}", root, directory.error().message()));
  return std::move(*directory);
}

// An eighth of what the process may open: the rest is for connections and the files they send.
std::size_t most_open(std::size_t wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted;
  return std::min<std::size_t>(wanted, limit.rlim_cur / 8);
}

MimeTypes types_of(const FileServerOptions& options) {
  std::vector<MimeTypes::Entry> own;
  for (const MimeType& t : options.mime_types) {
    if (t.type.empty() || !is_field_value(t.type))
      throw Panic(fmt::format("http: file_server: invalid media type for \"{}\"", t.extension));
    // ".css" is meant as it looks.
    own.emplace_back(t.extension.starts_with('.') ? t.extension.substr(1) : t.extension, t.type);
  }
  return MimeTypes(std::move(own));
}

void check_cache_control(const FileServerOptions& options) {
  if (!is_field_value(options.cache_control))
    throw Panic("http: file_server: invalid Cache-Control");
  for (const CacheControlRule& rule : options.cache_control_rules)
    if (rule.pattern.empty() || !is_field_value(rule.value))
      throw Panic(
          fmt::format("http: file_server: invalid Cache-Control rule \"{}\"", rule.pattern));
}

bool out_of_descriptors(std::error_code e) noexcept {
  return e == std::errc::too_many_files_open || e == std::errc::too_many_files_open_in_system;
}

// Whether an open file is still what it was: it has a name, and may be read by the same people.
bool unchanged(const struct stat& then, const struct stat& now) noexcept {
  return now.st_nlink > 0 && now.st_mode == then.st_mode && now.st_uid == then.st_uid &&
         now.st_gid == then.st_gid;
}

bool is_sibling_name(std::string_view name) noexcept {
  return std::ranges::any_of(kSiblings,
                             [&](const SiblingKind& s) { return name.ends_with(s.suffix); });
}

}  // namespace

bool sibling_is_current(const struct stat& sibling, const struct stat& original) noexcept {
  const timespec& s = sibling.st_mtim;
  const timespec& o = original.st_mtim;
  if (s.tv_sec != o.tv_sec) return s.tv_sec > o.tv_sec;
  return s.tv_nsec >= o.tv_nsec || s.tv_nsec == 0;
}

FileStore::FileStore(const std::string& root, const FileServerOptions& options)
    : root_(open_root(root)),
      types_(types_of(options)),
      cache_control_(options.cache_control),
      rules_(options.cache_control_rules),
      precompressed_(options.precompressed),
      tagger_(options.etag_secret),
      cache_(most_open(options.open_files)) {
  check_cache_control(options);
}

Result<FileStore::Found> FileStore::find(const std::string& relative) {
  if (!cache_.enabled()) return open(relative);
  const TimePoint now = Clock::now();
  if (OpenPathPtr cached = cache_.find(relative, now)) {
    // Size and times always from now: a tag must not outlive the content it stands for.
    const Result<struct stat> st = cached->plain->file.stat();
    if (st && unchanged(cached->plain->st, *st)) return Found{std::move(cached), *st, false};
  }
  Result<Found> found = open(relative);
  if (!found && out_of_descriptors(found.error())) {
    cache_.clear();
    found = open(relative);
  } else if (found) {
    keep(relative, found->path, now);
  }
  return found;
}

void FileStore::keep(const std::string& relative, const OpenPathPtr& path, TimePoint opened) {
  cache_.put(relative, path, opened);
  if (sweeping_.load(std::memory_order_relaxed) || sweeping_.exchange(true)) return;
  after_func(FileCache::kFresh, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->sweep();
  });
}

void FileStore::sweep() {
  sweeping_.store(false);  // pairs with the exchange in keep()
  if (!cache_.sweep(Clock::now()) || sweeping_.exchange(true)) return;
  after_func(FileCache::kFresh, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->sweep();
  });
}

Result<OpenFilePtr> FileStore::open_file(const std::string& relative, Coding coding) {
  Result<net::File> file = root_.open_beneath(relative);
  if (!file) return fail(file.error());
  Result<struct stat> st = file->stat();
  if (!st) return fail(st.error());
  // A FIFO or a device was opened without waiting, and is closed again without a read.
  if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode)) return fail_errno(ENOENT);
  return std::make_shared<const OpenFile>(std::move(*file), *st, tagger_.strong_tag(*st, coding),
                                          HttpDate(st->st_mtim.tv_sec));
}

void FileStore::open_siblings(OpenPath& path, const std::string& relative) {
  if (is_sibling_name(relative)) return;
  for (std::size_t i = 0; i < kSiblings.size(); ++i) {
    std::string name = relative;
    Result<OpenFilePtr> sibling = open_file(name.append(kSiblings[i].suffix), kSiblings[i].coding);
    // One that cannot be used is as good as none.
    if (sibling && S_ISREG((*sibling)->st.st_mode) &&
        sibling_is_current((*sibling)->st, path.plain->st))
      path.encoded[i] = std::move(*sibling);
  }
}

Result<FileStore::Found> FileStore::open(const std::string& relative) {
  Result<OpenFilePtr> plain = open_file(relative, Coding::identity);
  if (!plain) return fail(plain.error());
  auto path = std::make_shared<OpenPath>();
  path->plain = std::move(*plain);
  const struct stat st = path->plain->st;
  if (S_ISREG(st.st_mode)) {
    path->type = types_.of(relative);
    path->cache_control = cache_control_of(relative);
    if (precompressed_) open_siblings(*path, relative);
  }
  return Found{std::move(path), st, true};
}

std::string_view FileStore::cache_control_of(std::string_view relative) const {
  for (const CacheControlRule& rule : rules_)
    if (glob_matches(rule.pattern, relative)) return rule.value;
  return cache_control_;
}

}  // namespace treadle::http::detail
