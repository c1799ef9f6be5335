// TlsConn: a connection that speaks TLS over another one.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <treadle/mutex.h>
#include <treadle/net/conn.h>
#include <treadle/net/tls.h>

namespace treadle::net {

namespace tls {
class TlsStream;
}

// TLS over a Conn that it owns. After a handshake() that went well it is a Conn as any other: one
// goroutine may read while another writes, and deadlines, Context and ignore_context() work as
// those of the Conn below, except that a read() which finds decrypted bytes does not look at them.
//
// Where it differs from TCP:
// - read() returns 0 only when the peer said so (close_notify). A stream that just ends is
//   TlsErrc::truncated, since anybody on the way could have cut it.
// - write_all() counts bytes as written that are encrypted and queued; the last 32 KB of them may
//   not have left when it fails with timed_out or canceled. To go on, call it with the rest (which
//   may be empty): it sends first what is queued.
// - close() cuts: the peer can tell that from an end. shutdown_write() ends.
// After an error of TLS itself every call returns that error.
class TlsConn final : public Conn {
 public:
  // The server's side of a connection that was accepted. No I/O. Throws std::bad_alloc.
  TlsConn(std::unique_ptr<Conn> raw, const TlsServer& server);
  // The client's side; `host`, a name or an IP address, is what the server must have a certificate
  // for, unless the client's options name another. No I/O. Throws std::bad_alloc.
  TlsConn(std::unique_ptr<Conn> raw, const TlsClient& client, std::string_view host);
  ~TlsConn() override;

  // Must have returned without an error before bytes are read or written (else those panic).
  // Parks the calling G; within the deadlines, both of them. To be called once, by one goroutine;
  // again after timed_out or canceled, to go on.
  // Errors: those of TlsErrc; eof when the peer closed without a byte; the connection's.
  [[nodiscard]] Result<void> handshake();
  // After handshake() failed with TlsErrc::plaintext: the connection below, to answer in clear
  // text. What the peer has sent first, some KB, is gone. This TlsConn is closed then. Nobody else
  // may use it meanwhile. Never parks.
  [[nodiscard]] std::unique_ptr<Conn> release_raw() noexcept;
  // What OpenSSL said of the failure ("no shared cipher", "certificate verify failed: certificate
  // has expired"); empty without one. Never holds what the peer sent. Never parks.
  std::string error_text() const;

  // For after the handshake. None parks for long; any goroutine.
  std::string_view version() const;                 // "TLSv1.3"
  std::string_view cipher() const;                  // "TLS_AES_128_GCM_SHA256"
  std::string alpn() const;                         // "http/1.1"; empty when none was agreed on
  const std::string& server_name() const noexcept;  // by SNI, lower case; empty without one
  bool resumed() const;
  // Whether the peer meant `host` (without a port) by SNI, or named nothing. A server that demands
  // client certificates answers 421 to requests for other hosts (RFC 9110 7.4).
  bool name_matches(std::string_view host) const;
  // The peer's certificate if there is one and it was verified, else empty: its subject in RFC
  // 2253's form ("CN=alice,O=Example"), and all of it in PEM.
  std::string peer_subject() const;
  std::string peer_certificate() const;

  using Conn::write_all;
  [[nodiscard]] Result<std::size_t> read(std::span<std::byte> into) override;
  WriteResult write_all(std::span<const iovec> parts) override;
  void set_cork(Cork cork) noexcept override;
  [[nodiscard]] Result<void> wait_readable() override;
  [[nodiscard]] Result<const treadle::detail::Pollable*> begin_dormant_wait() override;
  [[nodiscard]] Result<void> end_dormant_wait() override;
  void set_read_deadline(Deadline d) override;
  void set_write_deadline(Deadline d) override;
  void ignore_context() override;
  // Sends close_notify, then ends our side of the connection below. Parks as write_all() does.
  // While another goroutine writes it does not wait for it: that one ends the stream when it is
  // done.
  [[nodiscard]] Result<void> shutdown_write() override;
  void close() noexcept override;
  void watch_peer(const Context& ctx) override;
  // Also true when the peer has said close_notify.
  bool peer_closed() const noexcept override;
  SocketAddress local_address() const override;
  SocketAddress remote_address() const override;

 private:
  enum class Phase : std::uint8_t { handshake, open, failed };
  // The most a record may hold (RFC 8446 5.1); with 4 KB a large body costs a quarter more CPU.
  static constexpr std::size_t kRecord = 16 * 1024;
  static constexpr std::size_t kPiece = 2 * kRecord;
  class Gather;

  Result<void> shake_hands();
  Result<void> look_at_first_byte();
  Result<void> fill();
  Result<void> ready() const;
  std::error_code encrypt_and_send(Gather& from);
  std::error_code encrypt(Gather& from);
  std::error_code flush();
  std::error_code flush_last_of_handshake();
  std::error_code send_queued();
  void sent(std::size_t size) noexcept;
  Result<void> settle();
  bool owes() const;
  void send_now() noexcept;

  std::unique_ptr<Conn> raw_;
  std::unique_ptr<tls::TlsStream> stream_;
  // Guards the stream, which is OpenSSL's; held over no I/O. (What belongs to the reading side of
  // it alone is used without: see tls_stream.h.)
  mutable Mutex mutex_;
  // The turn to write to raw_, held over writes that park. Taken before mutex_.
  Mutex turn_;
  std::vector<std::byte> queued_;        // by turn_: taken out of the stream and not sent yet
  std::atomic<bool> end_wanted_{false};  // shutdown_write() was called
  std::atomic<bool> end_done_{false};    // and what it asks for has been done
  std::atomic<bool> closed_{false};
  std::atomic<bool> peer_ended_{false};
  std::atomic<Phase> phase_{Phase::handshake};
  bool small_pieces_ = false;  // by turn_: little is encrypted at a time
  bool met_ = false;           // reader only: the peer has sent something
  bool drained_ = false;       // reader only: the last raw read was a short one
};

// Connects by dial_tcp(), to "host:port", and shakes hands. Parks the calling G.
// Errors: those of dial_tcp() and of handshake().
[[nodiscard]] Result<std::unique_ptr<TlsConn>> dial_tls(std::string_view address,
                                                        const TlsClient& client);

}  // namespace treadle::net
