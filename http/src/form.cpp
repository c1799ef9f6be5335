#include <treadle/http/form.h>

#include <treadle/http/error.h>
#include <treadle/http/response.h>
#include <treadle/log.h>
#include <treadle/net/file.h>

#include <algorithm>
#include <cstring>

#include "display_name.h"
#include "media_type.h"
#include "multipart_stream.h"
#include "request_content.h"
#include "request_state.h"
#include "spill_file.h"
#include "url.h"

namespace treadle::http {

using detail::MultipartStream;
using detail::SpillFile;

// Takes a form in. `used_` is what counts against form_memory: the bytes held, and a flat cost for
// each part, so that a thousand empty ones are not free.
class FormBuilder {
 public:
  FormBuilder(const Request& req, const FormOptions& options)
      : request_(req),
        options_(options),
        memory_(options.memory.value_or(detail::limits_of(req).form_memory)) {}

  Result<Form> read_urlencoded();
  Result<Form> read_multipart();

 private:
  static constexpr std::size_t kPartCost = 128;

  Result<void> read_field(MultipartStream& parts);
  Result<void> read_file(MultipartStream& parts);
  Result<void> charge(std::size_t bytes);
  Result<void> move_to_disk(UploadedFile& file);
  Result<void> write_out(std::string_view bytes);
  bool fits(std::size_t bytes) const noexcept {
    return bytes <= memory_ - std::min(used_, memory_);
  }

  const Request& request_;
  const FormOptions& options_;
  const std::size_t memory_;
  std::size_t used_ = 0;
  SpillFile spilled_;
  Form form_;
};

Result<Form> FormBuilder::read_urlencoded() {
  const Result<std::string> body = request_.body().read_all(memory_);
  if (!body) return fail(body.error());
  auto pairs = parse_query(*body, options_.pairs.value_or(detail::limits_of(request_).form_pairs));
  if (!pairs && pairs.error() == QueryError::too_many)
    return detail::refuse_content(request_, Errc::form_too_large, "too many pairs in the form");
  if (!pairs) return detail::refuse_content(request_, Errc::malformed_form, "bad escape");
  form_.fields_ = std::move(*pairs);
  return std::move(form_);
}

Result<Form> FormBuilder::read_multipart() {
  auto parts =
      MultipartStream::open(request_, {.parts = options_.pairs, .part_head = options_.part_head});
  if (!parts) return fail(parts.error());
  for (;;) {
    const Result<bool> more = (*parts)->next_part();
    if (!more) return fail(more.error());
    if (!*more) return std::move(form_);
    const bool is_file = (*parts)->disposition().filename.has_value();
    if (auto ok = is_file ? read_file(**parts) : read_field(**parts); !ok) return fail(ok.error());
  }
}

// Counts bytes that must stay in memory. Files that are there make room for them.
Result<void> FormBuilder::charge(std::size_t bytes) {
  if (!fits(bytes)) {
    for (UploadedFile& file : form_.files_) {
      if (auto ok = move_to_disk(file); !ok) return ok;
    }
  }
  if (!fits(bytes))
    return detail::refuse_content(request_, Errc::form_too_large, "fields beyond form_memory");
  used_ += bytes;
  return {};
}

Result<void> FormBuilder::read_field(MultipartStream& parts) {
  QueryPair field{parts.disposition().name, {}};
  if (auto ok = charge(kPartCost + field.name.size()); !ok) return ok;
  for (;;) {
    const Result<std::string_view> some = parts.data();
    if (!some) return fail(some.error());
    if (some->empty()) break;
    if (auto ok = charge(some->size()); !ok) return ok;
    field.value += *some;
  }
  form_.fields_.push_back(std::move(field));
  return {};
}

// While a file goes to disk nothing else does: its bytes lie there in one piece.
Result<void> FormBuilder::read_file(MultipartStream& parts) {
  UploadedFile file;
  file.name_ = parts.disposition().name;
  file.filename_ = parts.disposition().filename.value_or("");
  file.content_type_ = parts.headers().get("Content-Type");
  if (auto ok =
          charge(kPartCost + file.name_.size() + file.filename_.size() + file.content_type_.size());
      !ok)
    return ok;
  for (;;) {
    const Result<std::string_view> some = parts.data();
    if (!some) return fail(some.error());
    if (some->empty()) break;
    if (file.disk_ == nullptr && !fits(some->size())) {
      if (auto ok = move_to_disk(file); !ok) return ok;
    }
    if (file.disk_ != nullptr) {
      if (auto ok = write_out(*some); !ok) return ok;
    } else {
      file.memory_ += *some;
      used_ += some->size();
    }
    file.size_ += some->size();
  }
  if (file.size_ > 0 || !file.filename_.empty()) form_.files_.push_back(std::move(file));
  return {};
}

Result<void> FormBuilder::move_to_disk(UploadedFile& file) {
  if (file.disk_ != nullptr) return {};
  const std::uint64_t offset = spilled_.size();
  if (auto ok = write_out(file.memory_); !ok) return ok;
  used_ -= file.memory_.size();
  file.memory_ = std::string();  // gives the memory back, which clear() would not
  file.disk_ = spilled_.file();
  file.offset_ = offset;
  return {};
}

Result<void> FormBuilder::write_out(std::string_view bytes) {
  const auto failed = [this](std::error_code e) {
    log::error("http: {} {} {}: cannot keep an uploaded file: {}",
               request_.remote_address().to_string(), request_.method(),
               request_.target().substr(0, detail::kLoggedTarget), e.message());
    request_.state().refuse(Errc::storage_failed);
    return fail(e);
  };
  if (!spilled_) {
    Result<SpillFile> made = SpillFile::create(options_.directory);
    if (!made) return failed(made.error());
    spilled_ = std::move(*made);
  }
  if (auto ok = spilled_.append(bytes); !ok) return failed(ok.error());
  return {};
}

Result<Form> read_form(const Request& req, const FormOptions& options) {
  const auto type = parse_media_type(detail::content_type_of(req.headers()));
  FormBuilder builder(req, options);
  if (type && type->is("application", "x-www-form-urlencoded")) return builder.read_urlencoded();
  if (type && type->is("multipart", "form-data")) return builder.read_multipart();
  return detail::refuse_content(req, Errc::unsupported_media_type, "no form");
}

std::optional<std::string_view> Form::value(std::string_view name) const noexcept {
  for (const QueryPair& field : fields_) {
    if (field.name == name) return field.value;
  }
  return std::nullopt;
}

const UploadedFile* Form::file(std::string_view name) const noexcept {
  for (const UploadedFile& file : files_) {
    if (file.name() == name) return &file;
  }
  return nullptr;
}

std::string UploadedFile::display_name() const { return http::display_name(filename_); }

Result<std::size_t> UploadedFile::read_at(std::span<std::byte> into, std::uint64_t offset) const {
  if (offset >= size_) return 0;
  const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), size_ - offset));
  if (disk_ != nullptr) return disk_->read_at(into.first(n), offset_ + offset);
  std::memcpy(into.data(), memory_.data() + offset, n);
  return n;
}

Result<std::string> UploadedFile::read_all() const {
  std::string all(static_cast<std::size_t>(size_), '\0');
  std::size_t got = 0;
  while (got < all.size()) {
    const auto into = std::as_writable_bytes(std::span(all)).subspan(got);
    const Result<std::size_t> n = read_at(into, got);
    if (!n) return fail(n.error());
    if (*n == 0) return fail(treadle::Errc::eof);
    got += *n;
  }
  return all;
}

Result<void> UploadedFile::send(Response& res) const {
  return disk_ != nullptr ? res.send_file(*disk_, offset_, size_) : res.write(memory_);
}

}  // namespace treadle::http
