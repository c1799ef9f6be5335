#include "file_content.h"

#include <fmt/format.h>
#include <time.h>

#include <treadle/http/status.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "accept_encoding.h"
#include "conditional.h"
#include "http_date.h"
#include "random_key_hash.h"
#include "range.h"

namespace treadle::http::detail {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

// To the nanosecond, unlike wall_seconds(): see EntityTagger.
std::int64_t wall_ns() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::int64_t>(now.tv_sec) * kSecond + now.tv_nsec;
}

// Sixteen random bytes that cannot be known beforehand, so that no file can hold them on purpose.
std::string random_boundary() {
  const SipKey random = SipKey::random();
  return fmt::format("{:016x}{:016x}", random.k0, random.k1);
}

// What is sent: the file itself, or a compressed sibling.
struct Representation {
  OpenFilePtr file;
  struct stat st{};  // now
  Coding coding = Coding::identity;

  std::uint64_t size() const noexcept { return static_cast<std::uint64_t>(st.st_size); }
};

// All Accept-Encoding fields as one list (RFC 9110 5.3).
std::string joined(const HeaderView& headers, std::string_view name) {
  std::string all;
  for (const HeaderField& field : headers) {
    if (!equal_ignore_case(field.name, name)) continue;
    if (!all.empty()) all.append(", ");
    all.append(field.value);
  }
  return all;
}

Coding choose_coding(const HeaderView& headers, const OpenPath& path) {
  std::array<Coding, kSiblings.size()> available{};
  std::size_t count = 0;
  for (std::size_t i = 0; i < kSiblings.size(); ++i)
    if (path.encoded[i]) available[count++] = kSiblings[i].coding;
  return accept_encoding::choose(joined(headers, "Accept-Encoding"),
                                 std::span(available).first(count));
}

Representation choose_representation(const Request& req, const FileStore::Found& found,
                                     bool varies) {
  if (varies) {
    const Coding coding = choose_coding(req.headers(), *found.path);
    for (std::size_t i = 0; i < kSiblings.size(); ++i) {
      if (coding != kSiblings[i].coding) continue;
      const OpenFilePtr& file = found.path->encoded[i];
      if (found.just_opened) return {file, file->st, coding};
      const Result<struct stat> st = file->file.stat();
      // The original may have been written since; then the sibling's time is over.
      if (st && sibling_is_current(*st, found.st)) return {file, *st, coding};
    }
  }
  return {found.path->plain, found.st, Coding::identity};
}

struct Tags {
  EntityTag etag;
  HttpDate modified;
  std::int64_t modified_at;  // the same, in seconds since 1970
};

// What was made when the file was opened serves where it is what would be made now: the file has
// not changed since, and has been left alone long enough for its tag to be strong and its time to
// be past.
Tags tags_of(const Representation& what, const EntityTagger& tagger, std::int64_t now_ns) {
  const struct stat& then = what.file->st;
  const struct stat& now = what.st;
  const timespec& modified = now.st_mtim;
  if (now.st_size == then.st_size && modified.tv_sec == then.st_mtim.tv_sec &&
      modified.tv_nsec == then.st_mtim.tv_nsec && EntityTagger::is_settled(now, now_ns))
    return {what.file->strong_tag, what.file->modified, modified.tv_sec};
  // RFC 9110 8.8.2.1: never later than the message itself.
  const auto seconds = std::min<std::int64_t>(modified.tv_sec, now_ns / kSecond);
  return {tagger.tag(now, what.coding, now_ns), HttpDate(seconds), seconds};
}

void send_ranges(Response& res, const Representation& what, std::string_view type,
                 std::span<const ByteRange> ranges) {
  const net::File& file = what.file->file;
  const std::uint64_t size = what.size();
  res.status(status::kPartialContent);
  if (ranges.size() == 1) {
    res.content_type(type).header("Content-Range", content_range(ranges[0], size));
    res.content_length(ranges[0].length);
    res.send_file(file, ranges[0].first, ranges[0].length);
    return;
  }
  const std::string boundary = random_boundary();
  res.content_type("multipart/byteranges; boundary=" + boundary);
  res.content_length(multipart_length(boundary, type, ranges, size));
  for (const ByteRange& range : ranges) {
    if (!res.write(multipart_part_head(boundary, type, range, size))) return;
    if (!res.send_file(file, range.first, range.length)) return;
  }
  res.write(multipart_end(boundary));
}

void send_content(Response& res, const Request& req, const Representation& what,
                  std::string_view type, const Validators& validators, std::int64_t now) {
  const std::uint64_t size = what.size();
  const HeaderView headers = req.headers();
  RangeSet set;
  if (req.method() == "GET" && headers.count("Range") == 1 &&
      if_range_holds(headers, validators, now))
    set = parse_range(headers.get("Range"), size);

  switch (set.outcome()) {
    case RangeOutcome::unsatisfiable:
      res.send_error(status::kRangeNotSatisfiable);
      res.header("Content-Range", unsatisfied_content_range(size));
      return;
    case RangeOutcome::partial: return send_ranges(res, what, type, set.ranges());
    case RangeOutcome::whole: break;
  }
  res.content_type(type).content_length(size);
  res.send_file(what.file->file, 0, size);
}

}  // namespace

void send_found_file(Response& res, const Request& req, FileStore::Found found,
                     const EntityTagger& tagger) {
  const bool varies =
      std::ranges::any_of(found.path->encoded, [](const auto& f) { return f != nullptr; });
  const Representation what = choose_representation(req, found, varies);
  const std::string_view type = found.path->type;
  const std::string_view cache_control = found.path->cache_control;
  found.path.reset();  // a long download keeps open what it sends, and no more

  const std::int64_t now_ns = wall_ns();
  const std::int64_t now = now_ns / kSecond;
  const Tags tags = tags_of(what, tagger, now_ns);
  const EntityTag& etag = tags.etag;
  const Validators validators{
      .exists = true, .etag = etag.view(), .last_modified = tags.modified_at};

  const Precondition precondition =
      evaluate_preconditions(req.method(), req.headers(), validators, now);
  if (precondition == Precondition::failed) {
    res.send_error(status::kPreconditionFailed);
    return;
  }
  // RFC 9110 15.4.5: a 304 has what the 200 would have for caches.
  res.header("ETag", etag.view()).header("Last-Modified", tags.modified.view());
  if (!cache_control.empty()) res.header("Cache-Control", cache_control);
  if (varies) res.header("Vary", "Accept-Encoding");
  if (precondition == Precondition::not_modified) {
    res.status(status::kNotModified);
    return;
  }
  if (what.coding != Coding::identity) res.header("Content-Encoding", coding_name(what.coding));
  res.header("Accept-Ranges", "bytes").header("X-Content-Type-Options", "nosniff");
  send_content(res, req, what, type, validators, now);
}

}  // namespace treadle::http::detail
