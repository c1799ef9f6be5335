// The keys that encrypt session tickets.
#pragma once

#include <openssl/ssl.h>

#include <array>
#include <cstddef>
#include <mutex>
#include <optional>
#include <span>

#include <treadle/timer.h>

namespace treadle::net::tls {

struct TicketKey {
  static constexpr std::size_t kNameSize = 16;

  std::array<unsigned char, kNameSize> name;  // goes along with the ticket, in the clear
  std::array<unsigned char, 32> cipher;       // AES-256-CBC
  std::array<unsigned char, 32> mac;          // HMAC-SHA256

  TicketKey() noexcept = default;
  TicketKey(const TicketKey&) noexcept = default;
  TicketKey& operator=(const TicketKey&) noexcept = default;
  ~TicketKey();  // wipes it

  // Nothing when the system's random source fails.
  static std::optional<TicketKey> random() noexcept;
};

// Who holds a key can read what was sent in the sessions of its tickets (in TLS 1.2, where a ticket
// holds the key of the session itself), so a key lives for two periods only: in the first it
// encrypts and decrypts, in the second it decrypts. Keys change when they are asked for and found
// to be old: no thread, no timer. Any thread; never parks.
class TicketKeys {
 public:
  explicit TicketKeys(Duration period) noexcept : period_(period) {}

  Duration period() const noexcept { return period_; }

  // The key to encrypt with at `now`.
  std::optional<TicketKey> current(TimePoint now) noexcept;

  struct Found {
    TicketKey key;
    bool current = false;  // false: the ticket should be replaced
  };
  // The key of that name, if it still decrypts at `now`.
  std::optional<Found> find(std::span<const unsigned char, TicketKey::kNameSize> name,
                            TimePoint now) noexcept;

 private:
  void rotate_locked(TimePoint now) noexcept;

  const Duration period_;
  std::mutex mutex_;  // guards what follows; held over no call that parks
  std::optional<TicketKey> current_;
  std::optional<TicketKey> previous_;
  TimePoint since_{};  // when current_ was made
};

// What OpenSSL calls to encrypt or decrypt a ticket; see SSL_CTX_set_tlsext_ticket_key_evp_cb(3)
// for the arguments and results.
int use_ticket_key(TicketKeys& keys, SSL* ssl, unsigned char* name, unsigned char* iv,
                   EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int encrypt) noexcept;

}  // namespace treadle::net::tls
