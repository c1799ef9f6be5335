#include "response_writer.h"

#include <fmt/format.h>

#include <treadle/http/error.h>
#include <treadle/http/status.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "chunked_writer.h"
#include "date_cache.h"
#include "text_room.h"

namespace treadle::http::detail {
namespace {

iovec part_of(std::string_view text) noexcept {
  return {const_cast<char*>(text.data()), text.size()};
}

// What says how long a message is, or how long its connection lasts: the server's own.
bool is_framing(std::string_view name) noexcept {
  for (const std::string_view own : {"Content-Length", "Transfer-Encoding", "Connection", "Trailer",
                                     "Keep-Alive", "Upgrade", "TE"})
    if (equal_ignore_case(name, own)) return true;
  return false;
}

std::uint64_t parse_length(std::string_view value) {
  std::uint64_t n = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), n);
  if (error != std::errc() || end != value.data() + value.size())
    throw Panic(fmt::format("http: invalid Content-Length \"{}\"", value));
  return n;
}

// Longer than all that compose_head() writes besides fields and reason phrase.
constexpr std::size_t kOwnFields = 256;

}  // namespace

void ResponseWriter::begin(Transport& transport, RequestState& request, ConnectionBody& body,
                           ResponseClaim& claim, const KeepAlive& keep_alive) {
  transport_ = &transport;
  request_ = &request;
  request_body_ = &body;
  claim_ = &claim;
  server_keeps_ = &keep_alive;
  if (!buffer_)
    buffer_ = std::make_unique_for_overwrite<char[]>(kHeadRoom + kBodyBuffer + kTailRoom);
  keep_alive_ = request.head.keep_alive;
  head_request_ = request.head.method == "HEAD";
  committed_ = false;
  broken_ = false;
  answers_broken_body_ = false;
  filtering_ = false;
  filter_.reset();
  held_size_ = 0;
  kept_.clear();
  laid_ = 0;
  restart();
}

void ResponseWriter::restart() noexcept {
  status_ = status::kOk;
  status_set_ = false;
  declared_.reset();
  written_ = 0;
  sent_ = 0;
  headers_.clear();
  if (!broken_) error_ = {};
  buffered_ = 0;
  head_.clear();
}

void ResponseWriter::release() noexcept {
  transport_ = nullptr;
  request_ = nullptr;
  request_body_ = nullptr;
  filter_.reset();
  held_.reset();
}

void ResponseWriter::require_open(const char* what) const {
  if (committed_) throw Panic(fmt::format("http: {} after the response's head was sent", what));
}

void ResponseWriter::set_status(int code) {
  require_open("status set");
  if (code < 200 || code > 999) throw Panic(fmt::format("http: invalid status {}", code));
  status_ = code;
  status_set_ = true;
  note_broken_body();
}

void ResponseWriter::set_header(std::string_view name, std::string_view value) {
  require_open("header set");
  if (equal_ignore_case(name, "Content-Length")) {
    declared_ = parse_length(value);
  } else if (equal_ignore_case(name, "Connection")) {
    if (equal_ignore_case(value, "close")) keep_alive_ = false;
  } else if (!equal_ignore_case(name, "Transfer-Encoding")) {
    headers_.set(name, value);
  }
}

void ResponseWriter::add_header(std::string_view name, std::string_view value) {
  require_open("header added");
  if (equal_ignore_case(name, "Content-Length") || equal_ignore_case(name, "Connection") ||
      equal_ignore_case(name, "Transfer-Encoding"))
    set_header(name, value);
  else
    headers_.add(name, value);
}

void ResponseWriter::remove_header(std::string_view name) {
  require_open("header removed");
  if (equal_ignore_case(name, "Content-Length")) declared_.reset();
  headers_.remove(name);
}

void ResponseWriter::declare_length(std::uint64_t bytes) {
  require_open("length declared");
  declared_ = bytes;
}

void ResponseWriter::keep_header(std::string_view name, std::string_view value) {
  require_open("header kept");
  // What a response varies by adds up.
  if (equal_ignore_case(name, "Vary"))
    kept_.add(name, value);
  else
    kept_.set(name, value);
}

Result<void> ResponseWriter::stick(std::error_code e) noexcept {
  if (!error_) error_ = e;
  return fail(error_);
}

void ResponseWriter::abandon(std::error_code why) noexcept {
  broken_ = true;
  if (!error_) error_ = why;
}

void ResponseWriter::note_broken_body() noexcept {
  if (!committed_ && request_->content_error()) answers_broken_body_ = true;
}

bool ResponseWriter::length_satisfied() const noexcept {
  return no_body() || (declared_ && written_ == *declared_);
}

// RFC 9110 6.4.1, and 15.3.6 for 205.
bool ResponseWriter::no_body() const noexcept {
  return head_request_ || status_has_no_body(status_) || status_ == status::kResetContent;
}

Result<void> ResponseWriter::admit(std::uint64_t bytes) {
  if (claim_->lost()) return lose();
  if (error_) return fail(error_);
  note_broken_body();
  if (declared_ && !no_body() && bytes > *declared_ - std::min(written_, *declared_))
    return stick(Errc::content_length);
  written_ += bytes;
  return {};
}

Result<void> ResponseWriter::write(std::string_view bytes) {
  if (auto ok = admit(bytes.size()); !ok) return ok;
  if (no_body()) return {};
  if (filtering_ || (bytes.size() > room() && filters(Part::more)))
    return filter(bytes, BodyFilter::Op::run);
  if (bytes.size() > room()) return transmit(bytes, Part::more);
  bytes.copy(body() + buffered_, bytes.size());
  buffered_ += bytes.size();
  return {};
}

Result<void> ResponseWriter::flush() {
  if (claim_->lost()) return lose();
  if (error_) return fail(error_);
  if (filters(Part::more)) return filter({}, BodyFilter::Op::flush);
  if (committed_ && buffered_ == 0) return {};
  return transmit({}, Part::more);
}

Result<void> ResponseWriter::send_file(const net::File& file, std::uint64_t offset,
                                       std::uint64_t count) {
  if (auto ok = admit(count); !ok) return ok;
  if (count == 0 || no_body()) return {};
  if (filtering_ || (count > room() && filters(Part::more)))
    return filter_file(file, offset, count);
  if (count <= room()) return buffer_file(file, offset, static_cast<std::size_t>(count));
  // Now that the file is sent as fast as the client takes it, how long it takes is the client's.
  request_->host->set_handler_deadline(Deadline::never());
  if (auto ok = flush(); !ok) return ok;
  if (framing_ != Framing::chunked) return send_file_part(file, offset, count);

  const ChunkHead chunk(count);
  std::array<iovec, 1> before{part_of(chunk.view())};
  if (auto ok = send(before, chunk.view().size(), 0); !ok) return ok;
  if (auto ok = send_file_part(file, offset, count); !ok) return ok;
  std::array<iovec, 1> after{part_of(kChunkEnd)};
  return send(after, kChunkEnd.size(), 0);
}

Result<void> ResponseWriter::send_file_part(const net::File& file, std::uint64_t offset,
                                            std::uint64_t count) {
  const net::WriteResult r = transport_->send_file(file, offset, count);
  sent_ += r.written;
  if (r && r.written == count) return {};
  abandon(r ? make_error_code(treadle::Errc::eof) : r.error);
  return fail(error_);
}

// A small file joins the head in one system call; that it shrank shows before anything has left.
Result<void> ResponseWriter::buffer_file(const net::File& file, std::uint64_t offset,
                                         std::size_t count) {
  while (count > 0) {
    const std::span<char> into(body() + buffered_, count);
    const Result<std::size_t> n = file.read_at(std::as_writable_bytes(into), offset);
    if (!n) return stick(n.error());
    if (*n == 0) return stick(treadle::Errc::eof);
    buffered_ += *n;
    offset += *n;
    count -= *n;
  }
  return {};
}

Result<void> ResponseWriter::send(std::span<iovec> parts, std::size_t framing, std::size_t data) {
  const net::WriteResult r = transport_->write(parts);
  sent_ += std::min(r.written - std::min(r.written, framing), data);
  if (r) return {};
  abandon(r.error);
  if (request_->context != nullptr) CancelFunc{*request_->context}(r.error);
  return fail(error_);
}

// Sends the head if it has not gone, what is buffered, `extra`, and the framing around them.
Result<void> ResponseWriter::transmit(std::string_view extra, Part part) {
  if (!committed_ && !commit(part)) return lose();
  if (no_body()) {
    buffered_ = 0;
    extra = {};
  }
  if (framing_ == Framing::chunked || !extra.empty() || !head_.empty())
    return transmit_parts(extra, part);
  const std::size_t head = std::exchange(laid_, 0);
  const std::size_t data = std::exchange(buffered_, 0);
  if (head + data == 0) return {};
  std::array<iovec, 1> piece{iovec{body() - head, head + data}};
  return deliver(piece, head, data, part);
}

Result<void> ResponseWriter::transmit_parts(std::string_view extra, Part part) {
  const std::size_t data = buffered_ + extra.size();
  std::string tail;  // short enough to need no memory
  if (framing_ == Framing::chunked && !no_body()) {
    if (data > 0) {
      head_.append(ChunkHead(data).view());
      tail.append(kChunkEnd);
    }
    if (part == Part::last) tail.append(kLastChunk);
  }
  std::array<iovec, 4> parts;
  std::size_t n = 0;
  const std::size_t framing = laid_ + head_.size();
  if (!head_.empty() && head_.size() <= kHeadRoom)
    lay_head();
  else if (!head_.empty())
    parts[n++] = part_of(head_);
  char* first = body() - std::exchange(laid_, 0);
  char* end = body() + buffered_;
  if (extra.empty()) {
    tail.copy(end, tail.size());
    end += tail.size();
    tail.clear();
  }
  if (end != first) parts[n++] = {first, static_cast<std::size_t>(end - first)};
  if (!extra.empty()) parts[n++] = part_of(extra);
  if (!tail.empty()) parts[n++] = part_of(tail);
  Result<void> sent;
  if (n > 0) sent = deliver(std::span(parts).first(n), framing, data, part);
  head_.clear();
  buffered_ = 0;
  return sent;
}

Result<void> ResponseWriter::deliver(std::span<iovec> parts, std::size_t framing, std::size_t data,
                                     Part part) {
  if (part == Part::last && !keep_alive_ && (!declared_ || length_satisfied()))
    transport_->conn().set_cork(net::Conn::Cork::in);  // the end of our side comes next
  try {
    if (part == Part::more || !may_be_held() || !transport_->hold(parts))
      return send(parts, framing, data);
  } catch (...) {
    abandon(std::make_error_code(std::errc::not_enough_memory));  // what was to go is lost
    throw;
  }
  sent_ += data;
  return {};
}

// False: the handler's deadline has passed, and the server answers.
bool ResponseWriter::commit(Part part) {
  if (!claim_->commit()) return false;
  if (filtering_) {
    choose_filtered_framing(part);
  } else {
    choose_framing(part);
    announced_ = declared_;
  }
  if (!server_keeps_->allowed() || !request_body_->can_drain()) keep_alive_ = false;
  format_head();
  committed_ = true;
  return true;
}

// What the connection says matters no more: it was ended on purpose.
Result<void> ResponseWriter::lose() noexcept {
  broken_ = true;
  error_ = treadle::Errc::timed_out;
  return fail(error_);
}

Result<void> ResponseWriter::early_hints(std::span<const HeaderField> fields) {
  HeaderBlock block;
  for (const HeaderField& field : fields) {
    if (is_framing(field.name))
      throw Panic(fmt::format("http: {} in an interim response", field.name));
    block.add(field.name, field.value);
  }
  if (committed_) return fail(Errc::head_sent);
  if (error_) return fail(error_);
  if (request_->head.minor_version == 0) return {};
  if (!claim_->begin_interim()) return lose();
  head_.assign("HTTP/1.1 103 Early Hints\r\n").append(block.text()).append("\r\n");
  std::array<iovec, 1> part{part_of(head_)};
  const std::size_t size = head_.size();
  Result<void> sent = send(part, size, 0);
  head_.clear();
  return claim_->end_interim() ? sent : lose();
}

Result<void> ResponseWriter::take_over() {
  if (claim_->lost()) return lose();
  if (committed_ || written_ > 0) return fail(Errc::head_sent);
  if (error_) return fail(error_);
  // Whoever has the connection then knows of no answers that wait to leave.
  if (Result<void> before = transport_->flush(); !before) {
    abandon(before.error());
    return before;
  }
  if (!claim_->commit()) return lose();
  committed_ = true;
  abandon(Errc::aborted);
  return {};
}

Result<void> ResponseWriter::switch_protocols(std::string_view protocol) {
  if (!is_field_value(protocol) || protocol.empty())
    throw Panic(fmt::format("http: invalid protocol \"{}\"", protocol));
  if (request_->head.minor_version == 0) return fail(treadle::Errc::invalid);
  if (Result<void> ours = take_over(); !ours) return ours;
  head_.assign("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ");
  head_.append(protocol).append("\r\n").append(headers_.text()).append("\r\n");
  std::array<iovec, 1> part{part_of(head_)};
  const net::WriteResult r = transport_->write(part);
  head_.clear();
  if (r) return {};
  error_ = r.error;
  return fail(error_);
}

void ResponseWriter::choose_framing(Part part) {
  framing_ = Framing::length;
  if (status_ == status::kResetContent) {
    declared_ = 0;
  } else if (status_has_no_body(status_)) {
    // RFC 9110 8.6: never in 204; in 304 only what the handler knows.
    if (status_ == status::kNoContent) declared_.reset();
  } else if (declared_) {
    return;
  } else if (head_request_) {
    // A handler may write nothing for HEAD: then how long a GET would be is not known.
    if (part == Part::last && written_ > 0 && written_ <= kBodyBuffer) declared_ = written_;
  } else if (part == Part::last) {
    declared_ = written_;
  } else {
    framing_ = request_->head.minor_version >= 1 ? Framing::chunked : Framing::until_close;
    if (framing_ == Framing::until_close) keep_alive_ = false;
  }
}

void ResponseWriter::format_head() {
  const HeadKey key{
      .second = wall_seconds(),
      .announced = announced_.value_or(0),
      .status = status_,
      .announces = announced_.has_value(),
      .keep_alive = keep_alive_,
      .http10 = request_->head.minor_version == 0,
      .content = written_ > 0 || announced_.value_or(0) > 0 || framing_ != Framing::length};
  if (standing_ != 0 && key == standing_key_ && framing_ == Framing::length &&
      headers_.as_marked() && kept_.empty())
    laid_ = standing_;
  else
    compose_head(key);
}

void ResponseWriter::compose_head(const HeadKey& key) {
  const std::string_view reason = reason_phrase(status_);
  const std::size_t most =
      kOwnFields + reason.size() + headers_.text().size() + kept_.text().size();
  append_text(head_, most, [&](TextRoom& to) {
    to.put("HTTP/1.1 ").put(static_cast<std::uint64_t>(status_)).put(" ").put(reason).put("\r\n");
    if (!headers_.has("Date")) put_date_field(to, key.second);
    if (key.announces) to.put("Content-Length: ").put(key.announced).put("\r\n");
    if (framing_ == Framing::chunked) to.put("Transfer-Encoding: chunked\r\n");
    if (!key.keep_alive)
      to.put("Connection: close\r\n");
    else if (key.http10)
      to.put("Connection: keep-alive\r\n");
    if (key.content && !status_has_no_body(status_) && !headers_.has("Content-Type"))
      to.put("Content-Type: text/plain; charset=utf-8\r\n");
    to.put(headers_.text());
    kept_.put_missing(to, headers_);
    to.put("\r\n");
  });
  if (framing_ != Framing::length || head_.size() > kHeadRoom) return;
  lay_head();
  headers_.mark();
  if (!kept_.empty()) return;
  standing_ = laid_;
  standing_key_ = key;
}

// Moves what is in head_, which fits there, right before the body.
void ResponseWriter::lay_head() noexcept {
  laid_ = head_.copy(body() - head_.size(), head_.size());
  head_.clear();
  standing_ = 0;
}

ResponseWriter::End ResponseWriter::finish() {
  if (claim_->lost()) (void)lose();
  if (!broken_ && filter_ && !finish_filtered()) return End::cut;
  const bool last_chunk_due = committed_ && framing_ == Framing::chunked && !no_body();
  if (!broken_ && (!committed_ || buffered_ > 0 || last_chunk_due)) {
    // What comes too short must not get a final chunk; it has none, being of a declared length.
    if (!transmit({}, Part::last)) return End::cut;
  }
  if (broken_) return End::cut;
  if (declared_ && !length_satisfied()) {
    abandon(Errc::content_length);
    return End::cut;
  }
  return keep_alive_ ? End::keep : End::close;
}

}  // namespace treadle::http::detail
