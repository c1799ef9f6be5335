// pure
#include "tls_tickets.h"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "tls_openssl.h"

namespace treadle::net::tls {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart(1000h);

bool known(TicketKeys& keys, const TicketKey& key, TimePoint now) {
  const auto found = keys.find(key.name, now);
  EXPECT_TRUE(!found || found->key.cipher == key.cipher);
  return found.has_value();
}

TEST(TlsTickets, OneKeyEncryptsForAPeriod) {
  TicketKeys keys(12h);
  const TicketKey first = *keys.current(kStart);
  EXPECT_EQ(keys.current(kStart + 1h)->name, first.name);
  EXPECT_EQ(keys.current(kStart + 12h - 1ns)->name, first.name);
  EXPECT_NE(keys.current(kStart + 12h)->name, first.name);
  EXPECT_NE(keys.current(kStart + 12h)->cipher, first.cipher);
}

TEST(TlsTickets, KeyDecryptsForOnePeriodMore) {
  TicketKeys keys(12h);
  const TicketKey first = *keys.current(kStart);
  EXPECT_TRUE(keys.find(first.name, kStart)->current);
  EXPECT_FALSE(keys.find(first.name, kStart + 12h)->current);
  EXPECT_TRUE(known(keys, first, kStart + 24h - 1ns));
  EXPECT_FALSE(known(keys, first, kStart + 24h));
}

TEST(TlsTickets, QuietTimeDoesNotKeepOldKeys) {
  TicketKeys keys(12h);
  const TicketKey first = *keys.current(kStart);
  EXPECT_FALSE(known(keys, first, kStart + 24h)) << "nobody asked for a whole period";
  const TicketKey second = *keys.current(kStart + 24h);
  EXPECT_TRUE(known(keys, second, kStart + 24h));
}

TEST(TlsTickets, LateRotationGivesTheOldKeyNoMore) {
  TicketKeys keys(12h);
  const TicketKey first = *keys.current(kStart);
  const TicketKey second = *keys.current(kStart + 20h);
  EXPECT_NE(second.name, first.name);
  EXPECT_TRUE(known(keys, first, kStart + 24h - 1ns));
  EXPECT_FALSE(known(keys, first, kStart + 24h));
  EXPECT_NE(keys.current(kStart + 24h)->name, second.name);
  EXPECT_TRUE(known(keys, second, kStart + 36h - 1ns));
  EXPECT_FALSE(known(keys, second, kStart + 36h));
}

TEST(TlsTickets, UnknownNamesAreNotFound) {
  TicketKeys keys(12h);
  (void)keys.current(kStart);
  TicketKey other = *TicketKey::random();
  EXPECT_FALSE(known(keys, other, kStart));
}

unsigned char* data(std::string& s) { return reinterpret_cast<unsigned char*>(s.data()); }
const unsigned char* data(std::string_view s) {
  return reinterpret_cast<const unsigned char*>(s.data());
}

// A ticket of one block, by what OpenSSL calls.
class TicketBox {
 public:
  explicit TicketBox(TicketKeys& keys) : keys_(keys) {}

  int seal(std::string_view text) {
    const int result = use(1);
    int size = 0;
    sealed_.resize(text.size() + 32);
    EXPECT_EQ(EVP_EncryptUpdate(cipher_.get(), data(sealed_), &size, data(text),
                                static_cast<int>(text.size())),
              1);
    int more = 0;
    EXPECT_EQ(EVP_EncryptFinal_ex(cipher_.get(), data(sealed_) + size, &more), 1);
    sealed_.resize(static_cast<std::size_t>(size + more));
    mac_of_sealed_ = mac_now();
    return result;
  }
  // The text, when the key is known and the ticket is whole.
  std::string open(int* result) {
    *result = use(0);
    if (*result <= 0 || mac_now() != mac_of_sealed_) return {};
    std::string out(sealed_.size() + 32, '\0');
    int size = 0;
    int more = 0;
    if (EVP_DecryptUpdate(cipher_.get(), data(out), &size, data(sealed_),
                          static_cast<int>(sealed_.size())) != 1 ||
        EVP_DecryptFinal_ex(cipher_.get(), data(out) + size, &more) != 1)
      return {};
    out.resize(static_cast<std::size_t>(size + more));
    return out;
  }
  std::array<unsigned char, TicketKey::kNameSize>& name() { return name_; }

 private:
  int use(int encrypt) {
    cipher_.reset(EVP_CIPHER_CTX_new());
    mac_.reset(EVP_MAC_CTX_new(hmac_.get()));
    const int result = use_ticket_key(keys_, ssl_.get(), name_.data(), iv_.data(), cipher_.get(),
                                      mac_.get(), encrypt);
    EXPECT_TRUE(result <= 0 || EVP_MAC_init(mac_.get(), nullptr, 0, nullptr) == 1);
    return result;
  }
  std::string mac_now() {
    std::string out(EVP_MAX_MD_SIZE, '\0');
    std::size_t size = 0;
    EXPECT_EQ(EVP_MAC_update(mac_.get(), data(sealed_), sealed_.size()), 1);
    EXPECT_EQ(EVP_MAC_final(mac_.get(), data(out), &size, out.size()), 1);
    out.resize(size);
    return out;
  }

  TicketKeys& keys_;
  std::unique_ptr<EVP_MAC, FreedBy<EVP_MAC_free>> hmac_{EVP_MAC_fetch(nullptr, "HMAC", nullptr)};
  ContextPtr context_{SSL_CTX_new(TLS_method())};
  SslPtr ssl_{SSL_new(context_.get())};
  std::unique_ptr<EVP_CIPHER_CTX, FreedBy<EVP_CIPHER_CTX_free>> cipher_;
  std::unique_ptr<EVP_MAC_CTX, FreedBy<EVP_MAC_CTX_free>> mac_;
  std::array<unsigned char, TicketKey::kNameSize> name_{};
  std::array<unsigned char, EVP_MAX_IV_LENGTH> iv_{};
  std::string sealed_;
  std::string mac_of_sealed_;
};

TEST(TlsTickets, AreSealedAndOpenedByTheKeyTheyName) {
  constexpr int kUnknown = 0;
  constexpr int kGood = 1;
  TicketKeys keys(12h);
  TicketBox box(keys);
  ASSERT_EQ(box.seal("the session"), kGood);
  int result = 0;
  EXPECT_EQ(box.open(&result), "the session");
  EXPECT_GE(result, kGood) << "in TLS 1.3, which the SSL starts with, it is replaced, too";
  box.name()[0] ^= 1;
  EXPECT_EQ(box.open(&result), "");
  EXPECT_EQ(result, kUnknown);
}

TEST(TlsTickets, OfThePeriodBeforeAreOpenedAndReplaced) {
  constexpr int kGoodButRenew = 2;
  TicketKeys keys(12h);
  const TicketKey old = *keys.current(Clock::now() - 13h);
  TicketBox box(keys);
  ASSERT_EQ(box.seal("new"), 1);
  EXPECT_NE(box.name(), old.name);
  box.name() = old.name;
  int result = 0;
  (void)box.open(&result);
  EXPECT_EQ(result, kGoodButRenew);
}

}  // namespace
}  // namespace treadle::net::tls
