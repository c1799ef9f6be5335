#include <gtest/gtest.h>

#include <treadle/net/file.h>
#include <treadle/net/tcp.h>
#include <treadle/net/tls_conn.h>

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
using test::read_error;
using test::read_exactly;
using test::shake_hands;
using test::SslPeer;
using test::Task;
using test::TlsFiles;
using test::TlsPair;
using test::writable;

TEST(TlsConnHandshake, BothVersionsCarryBytesBothWays) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    for (const int version : kTlsVersions) {
      PeerOptions options = at_version(version);
      options.ca_file = files.ca_file;
      TlsPair pair = shake_hands(server, options);
      ASSERT_TRUE(pair.client_ok) << pair.client->error();
      ASSERT_TRUE(pair.server_result) << pair.server_result.error().message();
      EXPECT_EQ(pair.server->version(), version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3");
      EXPECT_EQ(pair.server->cipher(), SSL_get_cipher_name(pair.client->ssl()));
      EXPECT_EQ(pair.server->server_name(), "a.example");
      EXPECT_FALSE(pair.server->resumed());
      ASSERT_TRUE(pair.client->write("ping"));
      EXPECT_EQ(read_exactly(*pair.server, 4), "ping");
      ASSERT_TRUE(pair.server->write_all("pong"));
      EXPECT_EQ(pair.client->read_exactly(4), "pong");
    }
  });
}

TEST(TlsConnHandshake, AddressesAreThoseOfTheConnectionBelow) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    test::TcpPair tcp = test::make_tcp_pair();
    const SocketAddress local = tcp.server->local_address();
    TlsPair pair = shake_hands(server, std::move(tcp.server), std::move(tcp.client));
    ASSERT_TRUE(pair.server_result);
    EXPECT_EQ(pair.server->local_address(), local);
  });
}

TEST(TlsConnHandshake, UseBeforeItPanics) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    auto [ours, theirs] = make_pipe();
    TlsConn conn(std::move(ours), server);
    EXPECT_THROW((void)read_error(conn), Panic);
    EXPECT_THROW((void)conn.write_all("x"), Panic);
  });
}

TEST(TlsConnHandshake, DeadlineEndsItAndItCanGoOnLater) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    auto [ours, theirs] = make_pipe();
    TlsConn conn(std::move(ours), server);
    conn.set_deadline(Deadline::after(std::chrono::milliseconds(20)));
    EXPECT_EQ(conn.handshake().error(), Errc::timed_out);
    conn.set_deadline(Deadline::never());
    SslPeer peer(*theirs, {});
    Task accept([&] { EXPECT_TRUE(conn.handshake()); });
    EXPECT_TRUE(peer.handshake()) << peer.error();
    accept.join();
    ASSERT_TRUE(conn.write_all("hello"));
    EXPECT_EQ(peer.read_exactly(5), "hello");
  });
}

TEST(TlsConnHandshake, CloseEndsIt) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    auto [ours, theirs] = make_pipe();
    TlsConn conn(std::move(ours), server);
    Task accept([&] { EXPECT_EQ(conn.handshake().error(), Errc::closed); });
    accept.wait_until_parked();
    conn.close();
    accept.join();
    EXPECT_EQ(conn.handshake().error(), Errc::closed);
  });
}

TEST(TlsConnHandshake, PeerThatSaysNothingIsEof) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    auto [ours, theirs] = make_pipe();
    TlsConn conn(std::move(ours), server);
    theirs->close();
    EXPECT_EQ(conn.handshake().error(), Errc::eof);
    EXPECT_EQ(read_error(conn), Errc::eof);
  });
}

TEST(TlsConnPlaintext, IsToldApartAndCanBeAnswered) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    for (const std::string_view hello : {"GET / HTTP/1.1\r\n\r\n", "\r\n", "x", "PRI * HTTP/2.0"}) {
      auto [ours, theirs] = make_pipe();
      TlsConn conn(std::move(ours), server);
      ASSERT_TRUE(theirs->write_all(hello));
      EXPECT_EQ(conn.handshake().error(), TlsErrc::plaintext);
      EXPECT_EQ(conn.handshake().error(), TlsErrc::plaintext);
      EXPECT_EQ(read_error(conn), TlsErrc::plaintext);
      const auto raw = conn.release_raw();
      ASSERT_TRUE(raw);
      ASSERT_TRUE(raw->write_all("HTTP/1.1 400 Bad Request\r\n\r\n"));
      raw->close();
      EXPECT_EQ(read_all(*theirs), "HTTP/1.1 400 Bad Request\r\n\r\n");
      EXPECT_EQ(read_error(conn), Errc::closed);
      conn.set_deadline(Deadline::never());
      conn.ignore_context();
      EXPECT_EQ(conn.remote_address().family(), AF_UNSPEC);
      EXPECT_FALSE(conn.release_raw());
      conn.close();
    }
  });
}

TEST(TlsConnPlaintext, OtherFailuresGiveNoRawConnection) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    auto [ours, theirs] = make_pipe();
    TlsConn conn(std::move(ours), server);
    ASSERT_TRUE(theirs->write_all(std::string_view("\x16\x03\x01\x00\x02hi", 7)));
    theirs->close();
    EXPECT_FALSE(conn.handshake());
    EXPECT_FALSE(conn.release_raw());
  });
}

TEST(TlsConnEnd, CloseNotifyIsACleanEnd) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    for (const int version : kTlsVersions) {
      TlsPair pair = shake_hands(server, at_version(version));
      ASSERT_TRUE(pair.server_result);
      ASSERT_TRUE(pair.client->write("last words"));
      ASSERT_TRUE(pair.client->end());
      EXPECT_FALSE(pair.server->peer_closed());
      EXPECT_EQ(read_all(*pair.server), "last words");
      EXPECT_EQ(read_all(*pair.server), "");
      EXPECT_TRUE(pair.server->peer_closed());
      EXPECT_TRUE(pair.server->wait_readable()) << "the end is something to read";
      ASSERT_TRUE(pair.server->write_all("answer")) << "the other direction goes on";
      EXPECT_EQ(pair.client->read_exactly(6), "answer");
    }
  });
}

TEST(TlsConnEnd, MereFinIsTruncation) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    for (const int version : kTlsVersions) {
      TlsPair pair = shake_hands(server, at_version(version));
      ASSERT_TRUE(pair.server_result);
      ASSERT_TRUE(pair.client->write("all"));
      ASSERT_TRUE(pair.client_raw->shutdown_write());
      EXPECT_EQ(read_exactly(*pair.server, 3), "all");
      EXPECT_EQ(read_error(*pair.server), TlsErrc::truncated);
      EXPECT_EQ(read_error(*pair.server), TlsErrc::truncated);
      ASSERT_TRUE(pair.server->write_all("answer"));
      EXPECT_EQ(pair.client->read_exactly(6), "answer");
    }
  });
}

TEST(TlsConnEnd, ShutdownWriteSaysCloseNotifyThenFinAndReadingGoesOn) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    for (const int version : kTlsVersions) {
      TlsPair pair = shake_hands(server, at_version(version));
      ASSERT_TRUE(pair.server_result);
      ASSERT_TRUE(pair.server->write_all("bye"));
      ASSERT_TRUE(pair.server->shutdown_write());
      ASSERT_TRUE(pair.server->shutdown_write());
      EXPECT_EQ(pair.client->read_exactly(3), "bye");
      EXPECT_EQ(pair.client->read_some(), "");
      EXPECT_TRUE(pair.client->clean_end());
      EXPECT_EQ(read_all(*pair.client_raw), "") << "the FIN";
      EXPECT_EQ(pair.server->write_all("x").error, std::errc::broken_pipe);
      ASSERT_TRUE(pair.client->write("still there"));
      EXPECT_EQ(read_exactly(*pair.server, 11), "still there");
    }
  });
}

TEST(TlsConnEnd, CloseCuts) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    TlsPair pair = shake_hands(server);
    ASSERT_TRUE(pair.server_result);
    ASSERT_TRUE(pair.server->write_all("half"));
    pair.server->close();
    pair.server->close();
    EXPECT_EQ(pair.client->read_exactly(4), "half");
    EXPECT_EQ(pair.client->read_some(), "");
    EXPECT_FALSE(pair.client->clean_end());
    EXPECT_EQ(read_error(*pair.server), Errc::closed);
    EXPECT_EQ(pair.server->write_all("x").error, Errc::closed);
    EXPECT_EQ(pair.server->wait_readable().error(), Errc::closed);
    EXPECT_EQ(pair.server->shutdown_write().error(), Errc::closed);
  });
}

TEST(TlsConnEnd, CloseWakesReaderAndWriter) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    const std::string text = pattern(1 << 20);
    for (int i = 0; i < 20; ++i) {
      TlsPair pair = shake_hands(server);
      ASSERT_TRUE(pair.server_result);
      Task reader([&] { EXPECT_EQ(read_error(*pair.server), Errc::closed); });
      Task writer([&] { EXPECT_EQ(pair.server->write_all(text).error, Errc::closed); });
      reader.wait_until_parked();
      writer.wait_until_parked();
      pair.server->close();
    }
  });
}

TEST(TlsConnRead, PendingBytesMakeItReadableAtOnce) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    TlsPair pair = shake_hands(server);
    ASSERT_TRUE(pair.server_result);
    ASSERT_TRUE(pair.client->write("0123456789"));
    EXPECT_TRUE(pair.server->wait_readable());
    EXPECT_EQ(read_exactly(*pair.server, 3, 3), "012");
    EXPECT_TRUE(pair.server->wait_readable()) << "decrypted bytes are left";
    EXPECT_EQ(read_exactly(*pair.server, 7), "3456789");
    // Two records in one piece: the second one waits undecrypted.
    SSL_write(pair.client->ssl(), "ab", 2);
    SSL_write(pair.client->ssl(), "cd", 2);
    ASSERT_TRUE(pair.client->flush());
    EXPECT_EQ(read_exactly(*pair.server, 2, 100), "ab");
    EXPECT_TRUE(pair.server->wait_readable());
    EXPECT_EQ(read_exactly(*pair.server, 2, 100), "cd");
    pair.server->set_read_deadline(Deadline::after(std::chrono::milliseconds(20)));
    EXPECT_EQ(pair.server->wait_readable().error(), Errc::timed_out);
    EXPECT_EQ(read_error(*pair.server), Errc::timed_out);
    pair.server->set_read_deadline(Deadline::never());
    ASSERT_TRUE(pair.client->write("later"));
    EXPECT_EQ(read_exactly(*pair.server, 5), "later") << "a timeout harms nothing";
  });
}

TEST(TlsConnRead, RequestBehindTheHandshakeIsNotSleptOver) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    // The client's last message and its request come in one piece.
    auto [ours, theirs] = make_pipe();
    auto held = std::make_unique<FaultyConn>(std::move(theirs));
    FaultyConn& gate = *held;
    TlsConn conn(std::move(ours), server);
    SslPeer peer(gate, at_version(TLS1_3_VERSION));
    Task accept([&] {
      ASSERT_TRUE(conn.handshake());
      ASSERT_TRUE(conn.wait_readable());
      EXPECT_EQ(read_exactly(conn, 7), "request");
    });
    SSL* ssl = peer.ssl();
    SSL_do_handshake(ssl);
    ASSERT_TRUE(peer.flush());
    while (SSL_do_handshake(ssl) != 1) {
      std::string buffer(20000, '\0');
      const auto n = gate.read(writable(buffer));
      ASSERT_TRUE(n && *n > 0);
      BIO_write(SSL_get_rbio(ssl), buffer.data(), static_cast<int>(*n));
    }
    SSL_write(ssl, "request", 7);
    ASSERT_TRUE(peer.flush());
    accept.join();
  });
}

TEST(TlsConnWrite, PartsOfAllSizesArriveInOrder) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    TlsPair pair = shake_hands(server);
    ASSERT_TRUE(pair.server_result);
    const std::string text = pattern(300'000);
    std::vector<iovec> parts;
    std::size_t at = 0;
    for (const std::size_t n : {0, 1, 0, 100, 16383, 16384, 16385, 5, 5, 40000, 0, 70000, 0}) {
      parts.push_back({const_cast<char*>(text.data()) + at, n});
      at += n;
    }
    Task writer([&] {
      const auto wrote = pair.server->write_all(parts);
      EXPECT_TRUE(wrote) << wrote.error.message();
      EXPECT_EQ(wrote.written, at);
      EXPECT_TRUE(pair.server->write_all(std::span<const iovec>()));
      EXPECT_TRUE(pair.server->write_all(""));
    });
    EXPECT_TRUE(pair.client->read_exactly(at) == text.substr(0, at));
    writer.join();
  });
}

TEST(TlsConnWrite, SmallResponseIsOneRawWriteAndOneRecord) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    TlsPair pair = shake_hands(server);
    ASSERT_TRUE(pair.server_result);
    std::string head = "head";
    std::string body = "body";
    const iovec parts[] = {{head.data(), 4}, {body.data(), 4}};
    ASSERT_TRUE(pair.server->write_all(parts));
    EXPECT_EQ(pair.client->read_some(), "headbody") << "one record holds both";
  });
}

TEST(TlsConnWrite, DeadlineLeavesAStreamThatCanGoOn) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    auto [ours, theirs] = make_pipe({.buffer = 4096});
    TlsPair pair = shake_hands(server, std::move(ours), std::move(theirs));
    ASSERT_TRUE(pair.server_result);
    const std::string text = pattern(1 << 20);
    pair.server->set_write_deadline(Deadline::after(std::chrono::milliseconds(20)));
    const auto first = pair.server->write_all(text);
    EXPECT_EQ(first.error, Errc::timed_out);
    EXPECT_GT(first.written, 0u);
    EXPECT_LT(first.written, text.size());
    Task writer([&] {
      std::size_t done = first.written;
      while (done < text.size()) {
        pair.server->set_write_deadline(Deadline::after(std::chrono::milliseconds(1)));
        const auto more = pair.server->write_all(std::string_view(text).substr(done));
        done += more.written;
        EXPECT_TRUE(more || more.error == Errc::timed_out) << more.error.message();
      }
      pair.server->set_write_deadline(Deadline::never());
      EXPECT_TRUE(pair.server->write_all("")) << "sends what is queued";
    });
    EXPECT_TRUE(pair.client->read_exactly(text.size()) == text);
    writer.join();
  });
}

TEST(TlsConnWrite, PeerThatIsGoneIsAnError) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    TlsPair pair = shake_hands(server);
    ASSERT_TRUE(pair.server_result);
    pair.client_raw->close();
    EXPECT_EQ(pair.server->write_all(pattern(1 << 20)).error, std::errc::broken_pipe);
    EXPECT_TRUE(pair.server->peer_closed());
  });
}

TEST(TlsConnWrite, FilesAreReadAndEncrypted) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    const std::string text = pattern(300'000);
    files.tree.write("f", text);
    const File file = *File::open(files.path("f"));
    TlsPair pair = shake_hands(server);
    ASSERT_TRUE(pair.server_result);
    Task writer([&] {
      const auto sent = pair.server->send_file(file, 10, 1'000'000);
      EXPECT_TRUE(sent);
      EXPECT_EQ(sent.written, text.size() - 10);
    });
    EXPECT_TRUE(pair.client->read_exactly(text.size() - 10) == text.substr(10));
    writer.join();
  });
}

TEST(TlsConnBoth, ReadsAndWritesAtOnce) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    auto client = TlsClient::create({.ca_file = files.ca_file});
    ASSERT_TRUE(client) << client.error();
    for (const int buffer : {0, 4096}) {
      auto [ours, theirs] = make_pipe({.buffer = buffer});
      TlsConn a(std::move(ours), server);
      TlsConn b(std::move(theirs), *client, "a.example");
      Task accept([&] { EXPECT_TRUE(a.handshake()); });
      ASSERT_TRUE(b.handshake()) << b.error_text();
      accept.join();
      const std::string to_b = pattern(2 << 20, 1);
      const std::string to_a = pattern(2 << 20, 2);
      Task write_a([&] { EXPECT_TRUE(a.write_all(to_b)); });
      Task write_b([&] { EXPECT_TRUE(b.write_all(to_a)); });
      Task read_a([&] { EXPECT_TRUE(read_exactly(a, to_a.size()) == to_a); });
      EXPECT_TRUE(read_exactly(b, to_b.size()) == to_b);
    }
  });
}

TEST(TlsConnBoth, ShutdownWhileAnotherWritesComesAfterIt) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    for (int i = 0; i < 10; ++i) {
      TlsPair pair = shake_hands(server);
      ASSERT_TRUE(pair.server_result);
      const std::string text = pattern(1 << 20);
      Task writer([&] { EXPECT_TRUE(pair.server->write_all(text)); });
      writer.wait_until_parked();
      ASSERT_TRUE(pair.server->shutdown_write());
      EXPECT_TRUE(pair.client->read_exactly(text.size()) == text);
      EXPECT_EQ(pair.client->read_some(), "");
      EXPECT_TRUE(pair.client->clean_end());
    }
  });
}

TEST(TlsConnBoth, KeyUpdatesAreAnsweredAndReadingGoesOn) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    TlsPair pair = shake_hands(server, at_version(TLS1_3_VERSION));
    ASSERT_TRUE(pair.server_result);
    for (int i = 0; i < 5; ++i) {
      ASSERT_EQ(SSL_key_update(pair.client->ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
      ASSERT_TRUE(pair.client->write("ping"));
      EXPECT_EQ(read_exactly(*pair.server, 4), "ping");
      ASSERT_TRUE(pair.server->write_all("pong"));
      EXPECT_EQ(pair.client->read_exactly(4), "pong");
    }
  });
}

TEST(TlsConnBoth, PeerThatOnlyAsksForAnswersIsCutOff) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    // Nothing can be sent at once over this connection, so the answers pile up.
    auto [ours, theirs] = make_pipe();
    TlsPair pair = shake_hands(server, std::make_unique<FaultyConn>(std::move(ours)),
                               std::move(theirs), at_version(TLS1_3_VERSION));
    ASSERT_TRUE(pair.server_result);
    Task asker([&] {
      for (int i = 0; i < 100'000; ++i) {
        SSL_key_update(pair.client->ssl(), SSL_KEY_UPDATE_REQUESTED);
        if (!pair.client->write("x")) return;
      }
    });
    std::string buffer(100, '\0');
    for (;;) {
      const auto n = pair.server->read(writable(buffer));
      if (n && *n > 0) continue;
      ASSERT_FALSE(n);
      EXPECT_EQ(n.error(), TlsErrc::protocol);
      EXPECT_EQ(pair.server->error_text(), "the peer asks for answers that it does not read");
      break;
    }
    pair.server->close();
  });
}

TEST(TlsConnBoth, RenegotiationIsRefused) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    TlsPair pair = shake_hands(server, at_version(TLS1_2_VERSION));
    ASSERT_TRUE(pair.server_result);
    Task reader([&] { EXPECT_NE(read_error(*pair.server), std::error_code()); });
    ASSERT_EQ(SSL_renegotiate(pair.client->ssl()), 1);
    EXPECT_FALSE(pair.client->handshake());
    EXPECT_EQ(pair.client->error(), "no renegotiation");
    pair.client_raw->close();
  });
}

}  // namespace
}  // namespace treadle::net
