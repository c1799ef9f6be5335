// Multipart forms part by part, as they arrive.
//
//   auto reader = http::MultipartReader::open(req);
//   if (!reader) return;  // 415 is answered for us
//   for (;;) {
//     auto part = reader->next_part();
//     if (!part) return;              // 400, 408 or 413 is
//     if (*part == nullptr) break;
//     while (auto n = (*part)->read(buffer); n && *n > 0) store(buffer.first(*n));
//   }
//
// A failed read() shows again in next_part(). Forms that fit are easier read as a whole: see
// form.h.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <treadle/http/header.h>
#include <treadle/result.h>

namespace treadle::http {

namespace detail {
class MultipartStream;
}
class Request;

// In place of the server's limits (RequestLimits); nothing: the server's.
struct MultipartOptions {
  std::optional<std::size_t> parts{};      // RequestLimits::form_pairs
  std::optional<std::size_t> part_head{};  // RequestLimits::part_head, in bytes
};

// One part of a form: a field, or a file where it has a filename. Views live until the reader's
// next_part(); the object does, too.
class MultipartPart {
 public:
  // The form field's name, as sent.
  std::string_view name() const noexcept;
  // As sent, possibly with a path; nothing for a plain field. Never open a file by it: see
  // display_name(). Browsers send an empty one, and no data, where the user has chosen no file.
  std::optional<std::string_view> filename() const noexcept;
  // The file's name made harmless: fit to be shown (HTML still wants escaping) and for a file in a
  // directory of your own. No path, valid UTF-8, at most 200 bytes, no control characters, no dot
  // at either end; "file" where nothing is left. Two files may have one name.
  std::string display_name() const;
  // What the client says it is; empty where it does not. Clients may say anything.
  std::string_view content_type() const noexcept;
  HeaderView headers() const noexcept;

  // Reads up to into.size() bytes of the part; 0 means its end (or `into` is empty). The client
  // sends no faster than this is called. Parks the calling G, and obeys deadlines, as Body::read()
  // does. Errors stick in the reader: those of Body::read(), malformed_form.
  [[nodiscard]] Result<std::size_t> read(std::span<std::byte> into);
  // The rest of the part, of `limit` bytes at most: form_too_large when it is longer.
  [[nodiscard]] Result<std::string> read_all(std::size_t limit);

  // For the reader.
  explicit MultipartPart(detail::MultipartStream& stream) noexcept : stream_(&stream) {}
  MultipartPart(const MultipartPart&) = delete;
  MultipartPart& operator=(const MultipartPart&) = delete;

 private:
  detail::MultipartStream* stream_;
};

// Reads the parts of a multipart/form-data body (RFC 7578), holding 16 KiB of it at a time.
// Belongs to the request's goroutine and must not outlive the handler.
//
// Whatever breaks the format is refused: parts without a name or with two, lines that end in a bare
// LF, lines that go on behind the boundary, a body that ends without the closing delimiter. A part
// that is multipart itself is data. A handler that writes nothing after a failure gets 400, 413 or
// 415 answered for it.
class MultipartReader {
 public:
  // Errors: unsupported_media_type (the Content-Type is another, or is not there), malformed_form
  // (it has no proper boundary). Never parks.
  static Result<MultipartReader> open(const Request& req, const MultipartOptions& options = {});
  MultipartReader(MultipartReader&&) noexcept;
  MultipartReader& operator=(MultipartReader&&) noexcept;
  ~MultipartReader();

  // The next part, and null behind the last one, once the body has been read to its end. What is
  // left of the part before is read and dropped. Parks as Body::read().
  // Errors, all of which stick: those of Body::read(), malformed_form, form_too_large (too many
  // parts, or a part's head beyond its limit), unsupported_media_type (a part that is encoded).
  [[nodiscard]] Result<MultipartPart*> next_part();

 private:
  explicit MultipartReader(std::unique_ptr<detail::MultipartStream> stream) noexcept;
  std::unique_ptr<detail::MultipartStream> stream_;
};

}  // namespace treadle::http
