#include "tls_tickets.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>

namespace treadle::net::tls {
namespace {

constexpr int kIvSize = 16;

// OpenSSL would look it up by its name for each ticket. Never freed: see start_openssl().
const EVP_CIPHER* ticket_cipher() noexcept {
  static EVP_CIPHER* const found = EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr);
  return found != nullptr ? found : EVP_aes_256_cbc();
}

bool set_mac(EVP_MAC_CTX* mac, TicketKey& key) noexcept {
  // Names of parameters are const char*, values are not, for historical reasons.
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.mac.data(), key.mac.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end(),
  };
  return EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

}  // namespace

TicketKey::~TicketKey() {
  OPENSSL_cleanse(cipher.data(), cipher.size());
  OPENSSL_cleanse(mac.data(), mac.size());
}

std::optional<TicketKey> TicketKey::random() noexcept {
  TicketKey key;
  const auto fill = [](auto& bytes, auto random) {
    return random(bytes.data(), static_cast<int>(bytes.size())) == 1;
  };
  if (!fill(key.name, RAND_bytes) || !fill(key.cipher, RAND_priv_bytes) ||
      !fill(key.mac, RAND_priv_bytes))
    return std::nullopt;
  return key;
}

void TicketKeys::rotate_locked(TimePoint now) noexcept {
  if (current_ && now - since_ < period_) return;
  auto fresh = TicketKey::random();
  // Without random numbers no ticket is issued; an old key must not stay in use for that.
  const bool just_ended = current_ && now - since_ < 2 * period_;
  previous_ = just_ended ? current_ : std::nullopt;
  current_ = fresh;
  // A period begins where the last one ended, although nobody may have asked just then: so no key
  // outlives its second one.
  since_ = just_ended ? since_ + period_ : now;
}

std::optional<TicketKey> TicketKeys::current(TimePoint now) noexcept {
  const std::lock_guard lock(mutex_);
  rotate_locked(now);
  return current_;
}

std::optional<TicketKeys::Found> TicketKeys::find(
    std::span<const unsigned char, TicketKey::kNameSize> name, TimePoint now) noexcept {
  const std::lock_guard lock(mutex_);
  rotate_locked(now);
  const auto is_it = [name](const std::optional<TicketKey>& key) {
    return key && std::equal(name.begin(), name.end(), key->name.begin());
  };
  if (is_it(current_)) return Found{*current_, true};
  if (is_it(previous_)) return Found{*previous_, false};
  return std::nullopt;
}

int use_ticket_key(TicketKeys& keys, SSL* ssl, unsigned char* name, unsigned char* iv,
                   EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int encrypt) noexcept {
  constexpr int kNoTicket = 0;
  constexpr int kGood = 1;
  constexpr int kGoodButRenew = 2;
  constexpr int kFailed = -1;
  const TimePoint now = Clock::now();
  if (encrypt != 0) {
    auto key = keys.current(now);
    if (!key) return kNoTicket;
    std::ranges::copy(key->name, name);
    const bool done =
        RAND_bytes(iv, kIvSize) == 1 &&
        EVP_EncryptInit_ex2(cipher, ticket_cipher(), key->cipher.data(), iv, nullptr) == 1 &&
        set_mac(mac, *key);
    return done ? kGood : kFailed;
  }
  auto found = keys.find(
      std::span<const unsigned char, TicketKey::kNameSize>(name, TicketKey::kNameSize), now);
  if (!found) return kNoTicket;  // a full handshake, and a ticket that we know
  if (!set_mac(mac, found->key) ||
      EVP_DecryptInit_ex2(cipher, ticket_cipher(), found->key.cipher.data(), iv, nullptr) != 1)
    return kFailed;
  // In TLS 1.3 a client uses a ticket once (RFC 8446 C.4), so it always needs a new one.
  return found->current && SSL_version(ssl) != TLS1_3_VERSION ? kGood : kGoodButRenew;
}

}  // namespace treadle::net::tls
