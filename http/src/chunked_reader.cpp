// The state machine of chunk lines, and the hand-over of their parts to llhttp.
#include "chunked_reader.h"

#include <algorithm>
#include <limits>

#include "chars.h"
#include "head_fields.h"

namespace treadle::http {
namespace {

using BodyResult = RequestParser::BodyResult;

constexpr std::size_t kMaxDigits = 16;

constexpr bool is_blank(char c) noexcept { return c == ' ' || c == '\t'; }

BodyResult refuse(const char* reason, int status = 400) noexcept {
  return {ParseStatus::error, 0, {}, {status, reason}};
}

}  // namespace

void ChunkedReader::begin(LlhttpMachine& machine) noexcept {
  machine_ = &machine;
  state_ = State::size;
  digit_count_ = 0;
  extension_bytes_ = 0;
  left_ = 0;
  scan_.reset();
  trailer_text_.clear();
  trailers_.clear();
}

BodyResult ChunkedReader::read(std::string_view bytes, const ParserLimits& limits) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    const char c = bytes[at];
    switch (state_) {
      case State::data: return read_data(bytes.substr(at), at);
      case State::trailers: return read_trailers(bytes.substr(at), at, limits);
      case State::data_cr:
        if (c != '\r') return refuse("chunk longer than its size");
        state_ = State::data_lf;
        break;
      case State::data_lf:
        if (c != '\n') return refuse("chunk longer than its size");
        if (const char* error = machine_->chunk_end()) return refuse(error);
        state_ = State::size;
        digit_count_ = 0;
        extension_bytes_ = 0;
        break;
      default:
        if (const char* error = line_byte(c, limits.chunk_extension)) return refuse(error);
        break;
    }
    ++at;
  }
  return {ParseStatus::need_more, at, {}, {}};
}

const char* ChunkedReader::line_byte(char c, std::size_t max_extension) {
  if (state_ == State::size_lf) return c == '\n' ? end_line() : "bare return in a chunk line";
  if (state_ == State::size) {
    const char* error = size_byte(c);
    if (error != nullptr || state_ == State::size || state_ == State::size_lf) return error;
  } else if (const char* error = extension_byte(c)) {
    return error;
  }
  // Counted: everything between the size and CR.
  if (state_ == State::size_lf) return nullptr;
  return ++extension_bytes_ > max_extension ? "chunk extensions too long" : nullptr;
}

const char* ChunkedReader::size_byte(char c) {
  if (chars::hex_value(c) >= 0) {
    if (digit_count_ == kMaxDigits) return "chunk size too long";
    digits_[digit_count_++] = c;
    return nullptr;
  }
  if (digit_count_ == 0) return "chunk without a size";
  return after_extension(c);
}

// One byte within the extensions; see the grammar in RFC 9112 7.1.1.
const char* ChunkedReader::extension_byte(char c) {
  constexpr const char* kMalformed = "malformed chunk extension";
  const bool token = chars::is(c, chars::kToken);
  switch (state_) {
    case State::ext_name_ws:
      if (is_blank(c)) return nullptr;
      state_ = State::ext_name;
      return token ? nullptr : kMalformed;
    case State::ext_name:
      if (token) return nullptr;
      if (c == '=') return state_ = State::ext_value_ws, nullptr;
      if (is_blank(c)) return state_ = State::ext_after_name, nullptr;
      return after_extension(c);
    case State::ext_after_name:
      if (is_blank(c)) return nullptr;
      if (c == '=') return state_ = State::ext_value_ws, nullptr;
      return c == ';' ? after_extension(c) : kMalformed;
    case State::ext_value_ws:
      if (is_blank(c)) return nullptr;
      if (c == '"') return state_ = State::ext_quoted, nullptr;
      state_ = State::ext_value;
      return token ? nullptr : kMalformed;
    case State::ext_value: return token ? nullptr : after_extension(c);
    case State::ext_quoted:
      if (chars::is_control(c)) return kMalformed;
      if (c == '"') state_ = State::ext_after_quoted;
      if (c == '\\') state_ = State::ext_quoted_pair;
      return nullptr;
    case State::ext_quoted_pair:
      state_ = State::ext_quoted;
      return chars::is_control(c) ? kMalformed : nullptr;
    case State::ext:
      if (is_blank(c)) return nullptr;
      return c == ';' ? after_extension(c) : kMalformed;
    default: return after_extension(c);
  }
}

// Where an extension may begin or the line may end.
const char* ChunkedReader::after_extension(char c) {
  if (c == '\r') {
    state_ = State::size_lf;
  } else if (c == ';') {
    state_ = State::ext_name_ws;
  } else if (is_blank(c)) {
    state_ = State::ext;
  } else {
    return digit_count_ != 0 && state_ == State::size ? "bad chunk size"
                                                      : "malformed chunk extension";
  }
  return nullptr;
}

const char* ChunkedReader::end_line() {
  left_ = 0;
  for (std::size_t i = 0; i < digit_count_; ++i) {
    left_ = left_ * 16 + static_cast<std::uint64_t>(chars::hex_value(digits_[i]));
  }
  if (left_ > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return "chunk size too large";
  }
  digits_[digit_count_] = '\r';
  digits_[digit_count_ + 1] = '\n';
  if (const char* error = machine_->chunk_line({digits_.data(), digit_count_ + 2})) return error;
  if (machine_->content_length() != left_) return "ambiguous chunk size";
  state_ = left_ == 0 ? State::trailers : State::data;
  return nullptr;
}

// `consumed`: bytes of the caller's that came before these.
BodyResult ChunkedReader::read_data(std::string_view bytes, std::size_t consumed) {
  const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
  const std::string_view data = bytes.substr(0, n);
  if (const char* error = machine_->chunk_data(data)) return refuse(error);
  left_ -= n;
  if (left_ == 0) state_ = State::data_cr;
  return {ParseStatus::need_more, consumed + n, data, {}};
}

// Trailers outlive the buffer they came in, so they are collected in one of our own; a limit on
// them keeps it small.
BodyResult ChunkedReader::read_trailers(std::string_view bytes, std::size_t consumed,
                                        const ParserLimits& limits) {
  const std::size_t before = trailer_text_.size();
  const std::size_t room = limits.trailers + 1 - before;
  trailer_text_.append(bytes.substr(0, room));
  const FieldScan::Result scanned = scan_.scan(trailer_text_, limits.trailers, limits.headers);
  if (scanned.status == ParseStatus::error) {
    return refuse(scanned.error.reason, scanned.error.status);
  }
  if (scanned.status == ParseStatus::need_more) {
    return {ParseStatus::need_more, consumed + trailer_text_.size() - before, {}, {}};
  }

  trailer_text_.resize(scanned.size);
  if (const char* error = machine_->trailers(trailer_text_, trailers_)) return refuse(error);
  if (trailers_.size() != scan_.fields()) return refuse("ambiguous trailer section");
  if (const auto refusal = check_trailers(trailers_)) {
    return refuse(refusal->reason, refusal->status);
  }
  return {ParseStatus::complete, consumed + scanned.size - before, {}, {}};
}

}  // namespace treadle::http
