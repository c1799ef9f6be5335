#include <treadle/http/response.h>

#include <fmt/format.h>

#include <treadle/http/status.h>

#include "response_writer.h"

namespace treadle::http {
namespace {

Result<void> write_line(detail::ResponseWriter& writer, std::string_view text) {
  if (Result<void> written = writer.write(text); !written) return written;
  return writer.write("\n");
}

}  // namespace

Response& Response::status(int code) {
  writer_->set_status(code);
  return *this;
}
int Response::status() const noexcept { return writer_->status(); }

Response& Response::header(std::string_view name, std::string_view value) {
  writer_->set_header(name, value);
  return *this;
}
Response& Response::add_header(std::string_view name, std::string_view value) {
  writer_->add_header(name, value);
  return *this;
}
Response& Response::remove_header(std::string_view name) {
  writer_->remove_header(name);
  return *this;
}
std::optional<std::string> Response::get_header(std::string_view name) const {
  if (auto value = writer_->headers().get(name)) return std::string(*value);
  return {};
}
Response& Response::keep_header(std::string_view name, std::string_view value) {
  writer_->keep_header(name, value);
  return *this;
}
Response& Response::content_length(std::uint64_t bytes) {
  writer_->declare_length(bytes);
  return *this;
}

Result<void> Response::write(std::string_view text) { return writer_->write(text); }
Result<void> Response::write(std::span<const std::byte> bytes) {
  return writer_->write({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}
Result<void> Response::vprint(fmt::string_view format, fmt::format_args args) {
  fmt::memory_buffer text;
  fmt::vformat_to(std::back_inserter(text), format, args);
  return writer_->write({text.data(), text.size()});
}
Result<void> Response::send_file(const net::File& file, std::uint64_t offset, std::uint64_t count) {
  return writer_->send_file(file, offset, count);
}
Result<void> Response::flush() { return writer_->flush(); }

Response& Response::streaming() {
  writer_->request().host->set_handler_deadline(Deadline::never());
  return *this;
}
Result<void> Response::early_hints(std::span<const HeaderField> fields) {
  return writer_->early_hints(fields);
}
Result<Hijacked> Response::hijack() {
  if (Result<void> ours = writer_->take_over(); !ours) return fail(ours.error());
  return writer_->request().host->hijack();
}
Result<Hijacked> Response::upgrade(std::string_view protocol) {
  if (Result<void> ours = writer_->switch_protocols(protocol); !ours) return fail(ours.error());
  return writer_->request().host->hijack();
}

Result<void> Response::redirect(std::string_view location, int code) {
  if (head_sent()) return fail(Errc::head_sent);
  writer_->restart();
  writer_->set_status(code);
  writer_->set_header("Location", location);
  return write_line(*writer_, reason_phrase(code));
}

Result<void> Response::send_error(int code, std::string_view text) {
  if (head_sent()) return fail(Errc::head_sent);
  writer_->restart();
  writer_->set_status(code);
  writer_->set_header("Content-Type", "text/plain; charset=utf-8");
  writer_->set_header("X-Content-Type-Options", "nosniff");
  return write_line(*writer_, text.empty() ? reason_phrase(code) : text);
}

std::error_code Response::error() const noexcept { return writer_->error(); }
bool Response::head_sent() const noexcept { return writer_->committed(); }

}  // namespace treadle::http
