// TLS over another connection.
//
// Who may do what. The stream (an SSL object and its buffers) belongs to whoever holds mutex_; it
// never waits, so mutex_ is held for as long as encrypting takes and no longer. The raw connection
// is read by the one reader, and written by whoever holds turn_; those calls park, without mutex_.
//   write:  turn_ { mutex_ { encrypt }  raw write  mutex_ { encrypt }  raw write ... }
//   read:   mutex_ { decrypt }  raw read  mutex_ { decrypt } ...
// So a reader goes on while a writer waits for a peer that does not read, and the other way round.
//
// What decrypting itself has to say (answers to key updates, alerts) comes out of the stream like
// everything else and must be sent in the order it came out, hence under turn_. A reader does not
// wait for that: it sends what the kernel takes at once, if turn_ is free, and leaves the rest to
// the next writer. None is forgotten: a reader that finds turn_ taken has put its bytes out before,
// and who holds turn_ looks, by mutex_, after it has let go of it (settle()). A peer that makes us
// answer without end and never reads is cut off.
#include <treadle/net/tls_conn.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <utility>

#include <treadle/net/tcp.h>

#include "tls_names.h"
#include "tls_stream.h"

namespace treadle::net {

using tls::TlsStream;
using Outcome = TlsStream::Outcome;

namespace {

// How much is encrypted at a time for a peer that has let a deadline pass. Bytes count as written
// when they are encrypted, so who measures progress by them sees none while a piece is under way.
constexpr std::size_t kSmallPiece = 4 * 1024;

// How much a record grows by, at most.
constexpr std::size_t kRecordOverhead = 64;

// What answers may pile up while the peer does not read.
constexpr std::size_t kMostAnswers = 64 * 1024;

constexpr std::byte kHandshakeRecord{0x16};
constexpr std::byte kSslv2Bit{0x80};  // set in the first byte of an SSL 2 hello, and in no text

// A failure that a later call may make good.
bool passes(const std::error_code& e) noexcept {
  return e == Errc::timed_out || e == Errc::canceled;
}

std::size_t total_size(std::span<const iovec> parts) noexcept {
  std::size_t sum = 0;
  for (const iovec& part : parts) sum += part.iov_len;
  return sum;
}

}  // namespace

// The bytes of many parts, record by record: what fits into one record is put together.
class TlsConn::Gather {
 public:
  explicit Gather(std::span<const iovec> parts) : parts_(parts), left_(total_size(parts)) {}

  std::size_t left() const noexcept { return left_; }
  std::size_t taken() const noexcept { return taken_; }

  // The next bytes, `most` unless fewer are left; valid until the next call.
  std::span<const std::byte> next(std::size_t most) {
    const std::size_t want = std::min(most, left_);
    taken_ += want;
    left_ -= want;
    const auto one = front(want);
    advance(one.size());
    if (one.size() == want) return one;
    together_.assign(one.begin(), one.end());
    together_.reserve(want);
    while (together_.size() < want) {
      const auto more = front(want - together_.size());
      advance(more.size());
      together_.insert(together_.end(), more.begin(), more.end());
    }
    return together_;
  }

 private:
  std::span<const std::byte> front(std::size_t most) noexcept {
    while (offset_ == parts_.front().iov_len) advance(0);
    const auto* base = static_cast<const std::byte*>(parts_.front().iov_base);
    return std::span(base, parts_.front().iov_len)
        .subspan(offset_)
        .first(std::min(most, parts_.front().iov_len - offset_));
  }
  void advance(std::size_t n) noexcept {
    offset_ += n;
    while (!parts_.empty() && offset_ == parts_.front().iov_len) {
      parts_ = parts_.subspan(1);
      offset_ = 0;
    }
  }

  std::span<const iovec> parts_;
  std::size_t offset_ = 0;
  std::size_t left_;
  std::size_t taken_ = 0;
  std::vector<std::byte> together_;
};

TlsConn::TlsConn(std::unique_ptr<Conn> raw, const TlsServer& server)
    : raw_(std::move(raw)), stream_(std::make_unique<TlsStream>(server.config())) {}

TlsConn::TlsConn(std::unique_ptr<Conn> raw, const TlsClient& client, std::string_view host)
    : raw_(std::move(raw)),
      stream_(std::make_unique<TlsStream>(client.config_, client.config_->server_name.empty()
                                                              ? std::string(host)
                                                              : client.config_->server_name)) {}

TlsConn::~TlsConn() = default;

Result<void> TlsConn::handshake() {
  if (closed_.load()) return fail(Errc::closed);
  if (phase_.load() != Phase::handshake) return ready();
  auto r = shake_hands();
  if (r) {
    phase_.store(Phase::open);
  } else if (!passes(r.error())) {
    const std::lock_guard lock(mutex_);
    stream_->fail(r.error(), {});
    phase_.store(Phase::failed);
  }
  return r;
}

Result<void> TlsConn::shake_hands() {
  if (!met_ && stream_->is_server())
    if (auto r = look_at_first_byte(); !r) return r;
  for (;;) {
    Outcome outcome{};
    std::error_code error;
    {
      const std::lock_guard lock(mutex_);
      outcome = stream_->handshake();
      error = stream_->error();
      if (outcome == Outcome::done && drained_) stream_->release_input();
    }
    std::error_code unsent;
    {
      const std::lock_guard turn(turn_);
      unsent = outcome == Outcome::done ? flush_last_of_handshake()
                                        : flush();  // the alert of a failure, too
    }
    if (outcome == Outcome::failed) return fail(error);
    if (outcome == Outcome::ended) return fail(TlsErrc::truncated);
    if (unsent) return fail(unsent);
    if (outcome == Outcome::done) return {};
    if (auto r = fill(); !r) return r;
  }
}

// Tells a peer that speaks no TLS before OpenSSL would send it an alert that it cannot read.
Result<void> TlsConn::look_at_first_byte() {
  if (auto r = fill(); !r) return r;
  const std::byte first = stream_->input().front();
  if (first == kHandshakeRecord || (first & kSslv2Bit) != std::byte{0}) return {};
  return fail(TlsErrc::plaintext);
}

std::unique_ptr<Conn> TlsConn::release_raw() noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (stream_->error() != TlsErrc::plaintext) return nullptr;
  }
  closed_.store(true);
  return std::move(raw_);
}

// Reads more for the stream, which has taken all there was. Holds no buffer while it waits, where
// the wait costs no system call: after a short read, when there is nothing more for sure.
Result<void> TlsConn::fill() {
  if (drained_) {
    {
      const std::lock_guard lock(mutex_);
      stream_->release_input();
    }
    if (auto r = raw_->wait_readable(); !r) return r;
    drained_ = false;
  }
  std::span<std::byte> room;
  {
    const std::lock_guard lock(mutex_);
    room = stream_->input_room();
  }
  if (room.empty()) return fail_errno(ENOMEM);
  const auto n = raw_->read(room);
  const std::lock_guard lock(mutex_);
  stream_->add_input(n.value_or(0));
  drained_ = n.value_or(0) < room.size();
  if (!n) return fail(n.error());
  if (*n > 0) {
    met_ = true;
    return {};
  }
  return met_ ? fail(TlsErrc::truncated) : fail(Errc::eof);
}

Result<void> TlsConn::ready() const {
  if (closed_.load()) return fail(Errc::closed);
  switch (phase_.load()) {
    case Phase::open: return {};
    case Phase::handshake: throw Panic("TlsConn used before its handshake");
    case Phase::failed: break;
  }
  const std::lock_guard lock(mutex_);
  return fail(stream_->error());
}

Result<std::size_t> TlsConn::read(std::span<std::byte> into) {
  if (auto r = ready(); !r) return fail(r.error());
  if (into.empty()) return 0;
  for (;;) {
    TlsStream::Read got{Outcome::want_input};
    std::error_code error;
    bool answers = false;
    {
      const std::lock_guard lock(mutex_);
      if (stream_->readable()) got = stream_->read(into);
      if (drained_) stream_->release_input();
      if (stream_->output_size() > kMostAnswers)
        stream_->fail(TlsErrc::protocol, "the peer asks for answers that it does not read");
      error = stream_->error();
      answers = stream_->output_size() > 0;
    }
    if (answers) send_now();
    if (error) return fail(error);
    if (got.outcome == Outcome::done) return got.size;
    if (got.outcome == Outcome::ended) {
      peer_ended_.store(true);
      return 0;
    }
    if (auto r = fill(); !r) return fail(r.error());
  }
}

Result<void> TlsConn::wait_readable() {
  if (auto r = ready(); !r) return r;
  {
    const std::lock_guard lock(mutex_);
    if (stream_->readable()) return {};
    stream_->release_input();
  }
  auto r = raw_->wait_readable();
  // Something is there: read() need not wait for it once more.
  if (r) drained_ = false;
  return r;
}

Result<const treadle::detail::Pollable*> TlsConn::begin_dormant_wait() {
  if (auto r = ready(); !r) return fail(r.error());
  {
    const std::lock_guard lock(mutex_);
    if (stream_->readable()) return nullptr;
    stream_->release_input();
  }
  auto r = raw_->begin_dormant_wait();
  if (r) drained_ = false;  // by the time read() is called something will be there
  return r;
}

Result<void> TlsConn::end_dormant_wait() {
  if (auto r = ready(); !r) return r;
  return raw_->end_dormant_wait();
}

WriteResult TlsConn::write_all(std::span<const iovec> parts) {
  if (auto r = ready(); !r) return {0, r.error()};
  Gather from(parts);
  std::error_code error;
  {
    const std::lock_guard turn(turn_);
    error = encrypt_and_send(from);
    if (!error) small_pieces_ = false;
    if (error == Errc::timed_out) small_pieces_ = true;
  }
  if (!error) (void)settle();  // of others; all that was ours has gone
  return {from.taken(), error};
}

std::error_code TlsConn::encrypt_and_send(Gather& from) {
  if (end_done_.load()) return {EPIPE, std::system_category()};
  // What an earlier call has left comes first, alone, so that its progress shows.
  if (auto e = send_queued()) return e;
  for (;;) {
    if (from.left() > 0)
      if (auto e = encrypt(from)) return e;
    if (auto e = flush()) return e;
    if (from.left() == 0) return {};
  }
}

// A piece's worth, into the stream's output.
std::error_code TlsConn::encrypt(Gather& from) {
  const std::lock_guard lock(mutex_);
  const std::size_t end =
      from.taken() + std::min(from.left(), small_pieces_ ? kSmallPiece : kPiece);
  const std::size_t records = (end - from.taken()) / kRecord + 1;
  stream_->expect_output(stream_->output_size() + (end - from.taken()) + records * kRecordOverhead);
  while (from.taken() < end) {
    const Outcome outcome = stream_->write(from.next(std::min(kRecord, end - from.taken())));
    if (outcome == Outcome::done) continue;
    stream_->fail(TlsErrc::protocol, "writing had to wait for the peer");  // unless it said why
    return stream_->error();
  }
  return {};
}

// As a rule all of it; then its memory goes, too: an idle connection holds none.
void TlsConn::sent(std::size_t size) noexcept {
  if (size == queued_.size())
    std::vector<std::byte>().swap(queued_);
  else
    queued_.erase(queued_.begin(), queued_.begin() + static_cast<std::ptrdiff_t>(size));
}

std::error_code TlsConn::send_queued() {
  if (queued_.empty()) return {};
  const WriteResult w = raw_->write_all(std::span<const std::byte>(queued_));
  sent(w.written);
  return w.error;
}

// Sends all that has come out of the stream.
std::error_code TlsConn::flush() {
  for (;;) {
    if (auto e = send_queued()) return e;
    const std::lock_guard lock(mutex_);
    if (stream_->output_size() == 0) return {};
    queued_ = stream_->take_output();
  }
}

// In TLS 1.3 a server ends with session tickets, for which no client waits. Where the client's
// request is there already, or its close_notify, they leave in one packet with what answers that.
// Should nothing answer it, the system sends them; it has them by now.
std::error_code TlsConn::flush_last_of_handshake() {
  bool behind = false;
  {
    const std::lock_guard lock(mutex_);
    behind = stream_->is_server() && SSL_version(stream_->ssl()) == TLS1_3_VERSION &&
             !stream_->input().empty();
  }
  if (!behind) return flush();
  raw_->set_cork(Cork::in);
  const std::error_code unsent = flush();
  raw_->set_cork(Cork::out);
  return unsent;
}

bool TlsConn::owes() const {
  const std::lock_guard lock(mutex_);
  return stream_->output_size() > 0 || (end_wanted_.load() && !end_done_.load());
}

// Does what others have left to whoever held turn_.
Result<void> TlsConn::settle() {
  while (owes()) {
    const std::unique_lock turn(turn_, std::try_to_lock);
    if (!turn) return {};  // whoever holds it looks, too, once it has let go
    const bool end = end_wanted_.load() && !end_done_.load();
    if (end) {
      const std::lock_guard lock(mutex_);
      (void)stream_->end();  // once; a stream that failed has nothing more to say
    }
    // In one packet with the end of the connection below.
    if (end) raw_->set_cork(Cork::in);
    if (auto e = flush()) return fail(e);
    if (!end) continue;
    end_done_.store(true);
    if (auto r = raw_->shutdown_write(); !r) return r;
  }
  return {};
}

// Reader: sends what goes without waiting.
void TlsConn::send_now() noexcept {
  {
    const std::unique_lock turn(turn_, std::try_to_lock);
    if (!turn) return;
    if (queued_.empty()) {
      const std::lock_guard lock(mutex_);
      queued_ = stream_->take_output();
    }
    sent(raw_->write_now(queued_));
  }
  // It may be our holding the turn that a shutdown_write() has relied on.
  if (end_wanted_.load() && !end_done_.load()) (void)settle();
}

Result<void> TlsConn::shutdown_write() {
  if (closed_.load()) return fail(Errc::closed);
  if (phase_.load() != Phase::open) return raw_->shutdown_write();
  end_wanted_.store(true);
  return settle();
}

void TlsConn::close() noexcept {
  if (!closed_.exchange(true)) raw_->close();
}

bool TlsConn::peer_closed() const noexcept {
  return peer_ended_.load() || (raw_ && raw_->peer_closed());
}

void TlsConn::set_cork(Cork cork) noexcept {
  if (raw_) raw_->set_cork(cork);
}
void TlsConn::set_read_deadline(Deadline d) {
  if (raw_) raw_->set_read_deadline(d);
}
void TlsConn::set_write_deadline(Deadline d) {
  if (raw_) raw_->set_write_deadline(d);
}
void TlsConn::watch_peer(const Context& ctx) {
  if (raw_) raw_->watch_peer(ctx);
}
void TlsConn::ignore_context() {
  if (raw_) raw_->ignore_context();
}
SocketAddress TlsConn::local_address() const {
  return raw_ ? raw_->local_address() : SocketAddress();
}
SocketAddress TlsConn::remote_address() const {
  return raw_ ? raw_->remote_address() : SocketAddress();
}

}  // namespace treadle::net
