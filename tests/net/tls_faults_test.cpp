// Peers that stop, cut, stutter and lie, at every byte.
#include <gtest/gtest.h>

#include <treadle/net/tls_conn.h>

#include <random>

#include "net/net_fixture.h"
#include "support/faulty_conn.h"
#include "support/pipe_conn.h"
#include "support/tls_fixture.h"

namespace treadle::net {
namespace {

using test::at_version;
using test::FaultyConn;
using test::kTlsVersions;
using test::make_pipe;
using test::make_tls_server;
using test::pattern;
using test::PeerOptions;
using test::read_all;
using test::read_exactly;
using test::shake_hands;
using test::SslPeer;
using test::Task;
using test::TlsFiles;
using test::TlsPair;

TEST(TlsFaultsClient, AbortsAtEveryByteOfTheHandshake) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    for (const int version : kTlsVersions) {
      std::uint64_t whole = 0;
      for (std::uint64_t n = 0; n <= whole; ++n) {
        auto [ours, theirs] = make_pipe();
        FaultyConn cut(std::move(theirs));
        if (whole != 0) cut.fail_writes_at_byte(n, EPIPE);
        TlsConn conn(std::move(ours), server);
        SslPeer peer(cut, at_version(version));
        Result<void> result;
        Task accept([&] {
          result = conn.handshake();
          if (!result) conn.close();
        });
        const bool ok = peer.handshake();
        if (whole == 0) {  // the first time all is well, to learn how long it is
          ASSERT_TRUE(ok);
          whole = cut.bytes_written();
          n = ~std::uint64_t{0};
          accept.join();
          continue;
        }
        cut.close();
        accept.join();
        if (n == whole) {
          // Only the tickets may have met a closed connection.
          EXPECT_TRUE(result || result.error() == std::errc::broken_pipe ||
                      result.error() == std::errc::connection_reset)
              << result.error().message();
          continue;
        }
        ASSERT_FALSE(result) << "after " << n << " bytes";
        EXPECT_TRUE(result.error() == TlsErrc::truncated || result.error() == Errc::eof ||
                    result.error() == std::errc::connection_reset ||
                    result.error() == std::errc::broken_pipe)
            << result.error().message();
      }
    }
  });
}

TEST(TlsFaultsServer, WritesFailAtEveryByteOfTheHandshake) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    for (const int version : kTlsVersions) {
      for (std::uint64_t n = 0;; n += n < 100 ? 1 : 13) {
        auto [ours, theirs] = make_pipe();
        auto faulty = std::make_unique<FaultyConn>(std::move(ours));
        faulty->fail_writes_at_byte(n, ECONNRESET);
        TlsPair pair =
            shake_hands(server, std::move(faulty), std::move(theirs), at_version(version));
        if (pair.server_result) break;
        EXPECT_EQ(pair.server_result.error(), std::errc::connection_reset);
        EXPECT_EQ(pair.server->handshake().error(), Errc::closed);
      }
    }
  });
}

TEST(TlsFaultsPieces, OfOneByteWorkBothWays) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    for (const int version : kTlsVersions) {
      test::TcpPair tcp = test::make_tcp_pair();
      auto stutter = std::make_unique<FaultyConn>(std::move(tcp.server));
      stutter->read_in_pieces({}, 1);
      stutter->write_in_pieces({}, 1);
      TlsPair pair =
          shake_hands(server, std::move(stutter), std::move(tcp.client), at_version(version));
      ASSERT_TRUE(pair.client_ok) << pair.client->error();
      const std::string text = pattern(20'000);
      Task writer([&] { EXPECT_TRUE(pair.server->write_all(text)); });
      EXPECT_TRUE(pair.client->read_exactly(text.size()) == text);
      writer.join();
      Task sender([&] {
        for (std::size_t at = 0; at < text.size(); at += 5000)
          EXPECT_TRUE(pair.client->write(std::string_view(text).substr(at, 5000)));
      });
      EXPECT_TRUE(read_exactly(*pair.server, text.size(), 777) == text);
    }
  });
}

TEST(TlsFaultsPieces, EverySplitOfARecordWorks) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    auto [ours, theirs] = make_pipe();
    auto owned = std::make_unique<FaultyConn>(std::move(ours));
    FaultyConn& split = *owned;
    TlsPair pair = shake_hands(server, std::move(owned), std::move(theirs));
    ASSERT_TRUE(pair.server_result);
    constexpr std::size_t kRecord = 5 + 8 + 1 + 16;  // header, text, type, tag
    for (std::size_t n = 1; n < kRecord; ++n) {
      split.read_in_pieces({n});
      ASSERT_TRUE(pair.client->write("8 bytes!"));
      EXPECT_EQ(read_exactly(*pair.server, 8, 100), "8 bytes!") << "split at " << n;
    }
  });
}

TEST(TlsFaultsTruncation, AtEveryByteIsNoCleanEnd) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    constexpr std::size_t kRecord = 5 + 8 + 1 + 16;
    for (std::size_t n = 0; n <= kRecord; ++n) {
      auto [ours, theirs] = make_pipe();
      auto owned = std::make_unique<FaultyConn>(std::move(theirs));
      FaultyConn& cut = *owned;
      TlsPair pair = shake_hands(server, std::move(ours), std::move(owned));
      ASSERT_TRUE(pair.server_result);
      cut.fail_writes_at_byte(cut.bytes_written() + n, EPIPE);
      (void)pair.client->write("8 bytes!");
      ASSERT_TRUE(cut.shutdown_write());
      std::string buffer(100, '\0');
      auto got = pair.server->read(test::writable(buffer));
      if (n == kRecord) {
        EXPECT_TRUE(got && *got == 8);
        got = pair.server->read(test::writable(buffer));
      }
      ASSERT_FALSE(got) << n;
      EXPECT_EQ(got.error(), TlsErrc::truncated) << n;
    }
  });
}

TEST(TlsFaultsGarbage, InTheHandshakeIsRefused) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    std::mt19937 random(7);  // NOLINT: the same bytes each time
    for (int i = 0; i < 500; ++i) {
      auto [ours, theirs] = make_pipe();
      TlsConn conn(std::move(ours), server);
      std::string junk(1 + random() % 300, '\0');
      for (char& c : junk) c = static_cast<char>(random());
      if (i % 4 == 0) junk[0] = '\x16';
      if (i % 8 == 0)
        junk.replace(0, std::min<std::size_t>(5, junk.size()), "\x16\x03\x01\x01\x01", 5);
      ASSERT_TRUE(theirs->write_all(junk));
      ASSERT_TRUE(theirs->shutdown_write());
      const auto r = conn.handshake();
      ASSERT_FALSE(r);
      EXPECT_EQ(r.error().category(), tls_category()) << r.error().message();
      conn.close();
    }
  });
}

TEST(TlsFaultsGarbage, FlippedBitsInTheHandshakeAreRefusedOrHarmless) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    std::string hello;
    {
      auto [ours, theirs] = make_pipe();
      SslPeer peer(*ours, {});
      SSL_do_handshake(peer.ssl());
      ASSERT_TRUE(peer.flush());
      ours->close();
      hello = read_all(*theirs);
    }
    for (std::size_t i = 0; i < hello.size(); ++i) {
      for (const int bit : {0, 7}) {
        std::string bent = hello;
        bent[i] = static_cast<char>(bent[i] ^ (1 << bit));
        auto [ours, theirs] = make_pipe();
        TlsConn conn(std::move(ours), server);
        ASSERT_TRUE(theirs->write_all(bent));
        ASSERT_TRUE(theirs->shutdown_write());
        EXPECT_FALSE(conn.handshake());
      }
    }
  });
}

TEST(TlsFaultsGarbage, InTheStreamEndsIt) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    const std::string_view junk[] = {
        std::string_view("\x17\x03\x03\x00\x20 not encrypted by anybody at all.", 37),
        std::string_view("\x16\x03\x03\x00\x01\x00", 6), "GET / HTTP/1.1\r\n\r\n",
        std::string_view("\x17\x03\x03\xff\xff", 5)};
    for (const int version : kTlsVersions) {
      for (const std::string_view bytes : junk) {
        TlsPair pair = shake_hands(server, at_version(version));
        ASSERT_TRUE(pair.server_result);
        ASSERT_TRUE(pair.client_raw->write_all(bytes));
        std::string buffer(100, '\0');
        const auto n = pair.server->read(test::writable(buffer));
        ASSERT_FALSE(n);
        EXPECT_EQ(n.error(), TlsErrc::protocol);
        EXPECT_NE(pair.server->error_text(), "");
        EXPECT_EQ(pair.server->write_all("x").error, TlsErrc::protocol);
        EXPECT_TRUE(pair.server->wait_readable()) << "read() has something to say at once";
        EXPECT_EQ(pair.client->read_some(), "");
        EXPECT_NE(pair.client->error().find("alert"), std::string::npos) << pair.client->error();
      }
    }
  });
}

TEST(TlsFaultsErrors, OfTheConnectionBelowComeThrough) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    auto [ours, theirs] = make_pipe();
    auto owned = std::make_unique<FaultyConn>(std::move(ours));
    FaultyConn& faulty = *owned;
    TlsPair pair = shake_hands(server, std::move(owned), std::move(theirs));
    ASSERT_TRUE(pair.server_result);
    faulty.fail_reads_at_call(0, ECONNRESET);
    std::string buffer(100, '\0');
    EXPECT_EQ(pair.server->read(test::writable(buffer)).error(), std::errc::connection_reset);
    faulty.fail_writes_at_call(0, EPIPE);
    EXPECT_EQ(pair.server->write_all("x").error, std::errc::broken_pipe);
  });
}

TEST(TlsFaultsStall, WriterInAStallDoesNotHoldUpTheReader) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    auto [ours, theirs] = make_pipe();
    auto owned = std::make_unique<FaultyConn>(std::move(ours));
    FaultyConn& faulty = *owned;
    TlsPair pair = shake_hands(server, std::move(owned), std::move(theirs));
    ASSERT_TRUE(pair.server_result);
    faulty.stall_writes_at_byte(faulty.bytes_written() + 3);
    Task writer([&] { EXPECT_TRUE(pair.server->write_all("stalled")); });
    faulty.wait_for_stalled_write();
    ASSERT_EQ(SSL_key_update(pair.client->ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
    ASSERT_TRUE(pair.client->write("read on"));
    EXPECT_EQ(read_exactly(*pair.server, 7), "read on");
    ASSERT_TRUE(pair.server->shutdown_write()) << "left to the writer";
    faulty.release_writes();
    EXPECT_EQ(pair.client->read_exactly(7), "stalled");
    EXPECT_EQ(pair.client->read_some(), "");
    EXPECT_TRUE(pair.client->clean_end()) << pair.client->error();
  });
}

}  // namespace
}  // namespace treadle::net
