// pure
#include "tls_tickets.h"

#include <gtest/gtest.h>

#include <chrono>

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

}  // namespace
}  // namespace treadle::net::tls
