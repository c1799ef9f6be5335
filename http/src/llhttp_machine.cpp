// The callbacks, and what counts as agreement between llhttp and us.
#include "llhttp_machine.h"

#include <algorithm>

#include "field_list.h"

namespace treadle::http {
namespace {

constexpr const char* kDisagreement = "ambiguous message";

// Appends a fragment of a span: llhttp may deliver one in pieces, of length 0 too.
bool extend(std::string_view& span, const char* at, std::size_t length) noexcept {
  if (span.data() == nullptr) {
    span = {at, length};
    return true;
  }
  if (span.data() + span.size() != at) return false;  // a folded line, which we never feed it
  span = {span.data(), span.size() + length};
  return true;
}

}  // namespace

LlhttpMachine::LlhttpMachine() noexcept { llhttp_init(&parser_, HTTP_REQUEST, &settings()); }

LlhttpMachine& LlhttpMachine::self(llhttp_t* parser) noexcept {
  return *static_cast<LlhttpMachine*>(parser->data);
}

const llhttp_settings_t& LlhttpMachine::settings() noexcept {
  static const llhttp_settings_t settings = [] {
    llhttp_settings_t s;
    llhttp_settings_init(&s);
    s.on_header_field = on_name;
    s.on_header_value = on_value;
    s.on_body = on_body;
    s.on_headers_complete = on_headers_complete;
    s.on_message_complete = on_message_complete;
    return s;
  }();
  return settings;
}

int LlhttpMachine::on_name(llhttp_t* parser, const char* at, std::size_t length) {
  auto& fields = *self(parser).fields_;
  const bool continues = !fields.empty() && fields.back().value.data() == nullptr &&
                         fields.back().name.data() + fields.back().name.size() == at;
  if (continues) {
    extend(fields.back().name, at, length);
  } else {
    fields.push_back({{at, length}, {}});
  }
  return 0;
}

int LlhttpMachine::on_value(llhttp_t* parser, const char* at, std::size_t length) {
  auto& fields = *self(parser).fields_;
  return !fields.empty() && extend(fields.back().value, at, length) ? 0 : -1;
}

int LlhttpMachine::on_body(llhttp_t* parser, const char*, std::size_t length) {
  self(parser).body_bytes_ += length;
  return 0;
}

int LlhttpMachine::on_headers_complete(llhttp_t* parser) {
  // We do not upgrade: with this set, llhttp would take a body for the new protocol.
  parser->upgrade = 0;
  return HPE_PAUSED;
}

int LlhttpMachine::on_message_complete(llhttp_t*) { return HPE_PAUSED; }

// Feeds all of `bytes` and expects llhttp to end in `expected`, exactly behind them.
const char* LlhttpMachine::run(std::string_view bytes, llhttp_errno_t expected) {
  parser_.data = this;
  llhttp_resume(&parser_);
  body_bytes_ = 0;
  const llhttp_errno_t result = llhttp_execute(&parser_, bytes.data(), bytes.size());
  if (result != HPE_OK && result != HPE_PAUSED) {
    const char* reason = llhttp_get_error_reason(&parser_);
    return reason == nullptr || *reason == '\0' ? "malformed message" : reason;
  }
  if (result != expected) return kDisagreement;
  if (result == HPE_PAUSED && llhttp_get_error_pos(&parser_) != bytes.data() + bytes.size()) {
    return kDisagreement;
  }
  return nullptr;
}

// llhttp refuses a tab around some values, where RFC 9110 5.5 lets it stand for a space. It gets a
// copy with spaces instead, of the same length, and the views are carried over.
const char* LlhttpMachine::run_fields(std::string_view bytes, std::vector<HeaderField>& fields) {
  std::string_view fed = bytes;
  if (bytes.find('\t') != std::string_view::npos) {
    scratch_.assign(bytes);
    std::replace(scratch_.begin(), scratch_.end(), '\t', ' ');
    fed = scratch_;
  }
  const std::size_t first = fields.size();
  fields_ = &fields;
  const char* error = run(fed, HPE_PAUSED);
  fields_ = nullptr;
  if (error != nullptr) return error;

  const auto original = [&](std::string_view view) {
    return bytes.substr(static_cast<std::size_t>(view.data() - fed.data()), view.size());
  };
  for (std::size_t i = first; i < fields.size(); ++i) {
    HeaderField& field = fields[i];
    if (!is_token(field.name)) return "bad header field name";
    field.name = original(field.name);
    if (field.value.data() != nullptr) field.value = trim_ows(original(field.value));
  }
  return nullptr;
}

const char* LlhttpMachine::head(std::string_view bytes, std::vector<HeaderField>& fields) {
  llhttp_init(&parser_, HTTP_REQUEST, &settings());
  return run_fields(bytes, fields);
}

const char* LlhttpMachine::chunk_line(std::string_view bytes) { return run(bytes, HPE_OK); }

const char* LlhttpMachine::chunk_data(std::string_view bytes) {
  const char* error = run(bytes, HPE_OK);
  return error == nullptr && body_bytes_ != bytes.size() ? kDisagreement : error;
}

const char* LlhttpMachine::chunk_end() {
  const char* error = run("\r\n", HPE_OK);
  return error == nullptr && body_bytes_ != 0 ? kDisagreement : error;
}

const char* LlhttpMachine::trailers(std::string_view bytes, std::vector<HeaderField>& fields) {
  return run_fields(bytes, fields);
}

}  // namespace treadle::http
