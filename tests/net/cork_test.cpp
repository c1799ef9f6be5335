// What waits for what follows it: on TCP told by the packets that arrive, on TLS by what is asked
// of the connection below.
#include <gtest/gtest.h>

#include <treadle/net/tls_conn.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "net/net_fixture.h"
#include "support/goroutine.h"
#include "support/pipe_conn.h"
#include "support/raw_client.h"
#include "support/stub_conn.h"
#include "support/tcp_packets.h"
#include "support/tls_fixture.h"

namespace treadle::net {
namespace {

using test::make_listener;
using test::make_pipe;
using test::make_tls_server;
using test::NotingConn;
using test::packets_received;
using test::RawClient;
using test::read_exactly;
using test::shake_hands;
using test::SslPeer;
using test::Task;
using test::TlsFiles;
using test::TlsPair;
using test::WrappedConn;

// A server's end, and a client that counts packets.
struct Counted {
  Listener listener = make_listener();
  RawClient client{listener.address().port()};
  std::unique_ptr<TcpConn> server = std::move(*listener.accept());
  std::uint32_t before = packets_received(client.fd());

  std::uint32_t came() const { return packets_received(client.fd()) - before; }
};

// `say` writes something with the cork in and ends by what takes that along; the client reads it
// and counts. A run that is held up in between for a fifth of a second counts for nothing: the
// kernel has not waited.
void expect_one_packet(void (*say)(TcpConn&), std::string (*hear)(RawClient&),
                       std::string_view said) {
  test::run([&] {
    std::uint32_t came = 0;
    for (int tries = 0; came != 1 && tries < 5; ++tries) {
      Counted c;
      c.server->set_cork(Conn::Cork::in);
      say(*c.server);
      EXPECT_EQ(hear(c.client), said);
      came = c.came();
    }
    EXPECT_EQ(came, 1u);
  });
}

TEST(CorkTcp, LastBytesAndTheEndAreOnePacket) {
  expect_one_packet(
      [](TcpConn& server) {
        ASSERT_TRUE(server.write_all("answer"));
        ASSERT_TRUE(server.shutdown_write());
      },
      [](RawClient& client) { return client.read_until_close(); }, "answer");
}

TEST(CorkTcp, LastBytesAndACloseAreOnePacket) {
  expect_one_packet(
      [](TcpConn& server) {
        ASSERT_TRUE(server.write_all("answer"));
        server.close();
      },
      [](RawClient& client) { return client.read_until_close(); }, "answer");
}

TEST(CorkTcp, WhatFollowsOnceItIsOutTakesTheRestAlong) {
  expect_one_packet(
      [](TcpConn& server) {
        ASSERT_TRUE(server.write_all("a"));
        EXPECT_EQ(server.write_now(std::as_bytes(std::span("b", 1))), 1u);
        server.set_cork(Conn::Cork::out);
        ASSERT_TRUE(server.write_all("c"));
      },
      [](RawClient& client) { return client.read_exactly(3); }, "abc");
}

TEST(CorkTcp, WhatNothingFollowsLeavesAllTheSame) {
  test::run([] {
    Counted c;
    c.server->set_cork(Conn::Cork::in);
    ASSERT_TRUE(c.server->write_all("a"));
    EXPECT_EQ(c.client.read_exactly(1), "a");
  });
}

TEST(CorkTcp, AnEndBeforeACloseSavesWhatWaitsFromTheReset) {
  test::run([] {
    Counted c;
    ASSERT_TRUE(c.client.send("never read"));
    ASSERT_TRUE(c.server->wait_readable());
    c.server->set_cork(Conn::Cork::in);
    ASSERT_TRUE(c.server->write_all("answer"));
    ASSERT_TRUE(c.server->shutdown_write());
    c.server->close();
    EXPECT_EQ(c.client.read_until_gone(), "answer");
  });
}

// Lets the first write through and keeps the rest until release().
class LateConn final : public WrappedConn {
 public:
  using Conn::write_all;
  using WrappedConn::WrappedConn;
  WriteResult write_all(std::span<const iovec> parts) override {
    if (std::exchange(first_, false)) return inner_->write_all(parts);
    WriteResult all;
    for (const iovec& part : parts) {
      late_.append(static_cast<const char*>(part.iov_base), part.iov_len);
      all.written += part.iov_len;
    }
    return all;
  }
  void release() { ASSERT_TRUE(inner_->write_all(std::string_view(late_))); }

 private:
  bool first_ = true;
  std::string late_;
};

// Two ends that have shaken hands; what the server asked of its connection is noted.
struct Noted {
  TlsFiles files;
  TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
  std::string notes;
  TlsPair pair = [this] {
    auto [ours, theirs] = make_pipe();
    return shake_hands(server, std::make_unique<NotingConn>(std::move(ours), notes),
                       std::move(theirs));
  }();
};

TEST(CorkTls, TicketsLeaveAtOnceWhenNothingIsBehindTheHandshake) {
  test::run([] {
    Noted n;
    ASSERT_TRUE(n.pair.server_result);
    EXPECT_EQ(n.notes, "write write ");
  });
}

TEST(CorkTls, TicketsWaitForTheAnswerToWhatIsThereAlready) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    auto [ours, theirs] = make_pipe();
    std::string notes;
    TlsConn conn(std::make_unique<NotingConn>(std::move(ours), notes), server);
    LateConn late(std::move(theirs));
    SslPeer client(late, {});
    Task serving([&] { ASSERT_TRUE(conn.handshake()); });
    ASSERT_TRUE(client.handshake());
    ASSERT_TRUE(client.write("request"));
    late.release();
    serving.join();
    EXPECT_EQ(notes, "write cork write uncork ");
    EXPECT_EQ(read_exactly(conn, 7), "request");
    ASSERT_TRUE(conn.write_all("answer"));
    EXPECT_EQ(client.read_exactly(6), "answer");
    EXPECT_TRUE(client.session()) << "no ticket came";
    EXPECT_EQ(notes, "write cork write uncork write ");
  });
}

TEST(CorkTls, CloseNotifyLeavesWithTheEnd) {
  test::run([] {
    Noted n;
    ASSERT_TRUE(n.pair.server_result);
    n.notes.clear();
    ASSERT_TRUE(n.pair.server->shutdown_write());
    EXPECT_EQ(n.notes, "cork write end ");
    EXPECT_EQ(n.pair.client->read_some(), "");
    EXPECT_TRUE(n.pair.client->clean_end());
  });
}

}  // namespace
}  // namespace treadle::net
