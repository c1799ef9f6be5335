// What a TLS connection costs: calls to the connection below, and memory while it is idle.
#include <gtest/gtest.h>
#include <malloc.h>

#include <treadle/net/tls_conn.h>

#include "net/net_fixture.h"
#include "runtime/sanitizer.h"
#include "support/pipe_conn.h"
#include "support/stub_conn.h"
#include "support/tls_fixture.h"

namespace treadle::net {
namespace {

using test::make_pipe;
using test::make_tls_server;
using test::pattern;
using test::read_exactly;
using test::shake_hands;
using test::Task;
using test::TlsFiles;
using test::TlsPair;

// Counts what reaches the connection below.
class CountingConn final : public test::WrappedConn {
 public:
  using Conn::write_all;
  using WrappedConn::WrappedConn;
  Result<std::size_t> read(std::span<std::byte> into) override {
    ++reads;
    return inner_->read(into);
  }
  WriteResult write_all(std::span<const iovec> parts) override {
    ++writes;
    return inner_->write_all(parts);
  }

  int reads = 0;
  int writes = 0;
};

TEST(TlsCostCalls, RequestAndResponseAreOneReadAndOneWrite) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    auto [ours, theirs] = make_pipe();
    auto owned = std::make_unique<CountingConn>(std::move(ours));
    CountingConn& raw = *owned;
    TlsPair pair = shake_hands(server, std::move(owned), std::move(theirs));
    ASSERT_TRUE(pair.server_result);
    EXPECT_LE(raw.reads, 2);
    EXPECT_LE(raw.writes, 2) << "one flight, and the tickets";
    std::string head = pattern(200, 1);
    std::string body = pattern(5000, 2);
    const iovec parts[] = {{head.data(), head.size()}, {body.data(), body.size()}};
    for (int i = 0; i < 5; ++i) {
      raw.reads = raw.writes = 0;
      ASSERT_TRUE(pair.client->write("GET / HTTP/1.1\r\n\r\n"));
      ASSERT_TRUE(pair.server->wait_readable());
      EXPECT_EQ(read_exactly(*pair.server, 18, 4096), "GET / HTTP/1.1\r\n\r\n");
      ASSERT_TRUE(pair.server->write_all(parts));
      EXPECT_EQ(pair.client->read_exactly(head.size() + body.size()), head + body);
      EXPECT_EQ(raw.reads, 1);
      EXPECT_EQ(raw.writes, 1);
    }
  });
}

TEST(TlsCostCalls, BulkGoesOutInPiecesOfTwoRecords) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    auto [ours, theirs] = make_pipe();
    auto owned = std::make_unique<CountingConn>(std::move(ours));
    CountingConn& raw = *owned;
    TlsPair pair = shake_hands(server, std::move(owned), std::move(theirs));
    ASSERT_TRUE(pair.server_result);
    raw.writes = 0;
    const std::string text = pattern(1 << 20);
    Task writer([&] { EXPECT_TRUE(pair.server->write_all(text)); });
    EXPECT_EQ(pair.client->read_exactly(text.size()).size(), text.size());
    writer.join();
    EXPECT_EQ(raw.writes, 32);
  });
}

#if !TREADLE_ASAN && !TREADLE_TSAN
TEST(TlsCostMemory, IdleConnectionHoldsNoBuffers) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    // The server's ends only: the clients' are OpenSSL alone and are freed before it is measured.
    std::vector<std::unique_ptr<TlsConn>> idle;
    std::vector<std::unique_ptr<Conn>> others;
    constexpr std::size_t kCount = 200;
    const auto connect = [&] {
      TlsPair pair = shake_hands(server);
      ASSERT_TRUE(pair.server_result);
      ASSERT_TRUE(pair.client->write("request"));
      EXPECT_EQ(read_exactly(*pair.server, 7), "request");
      ASSERT_TRUE(pair.server->write_all(pattern(40'000)));
      EXPECT_EQ(pair.client->read_exactly(40'000).size(), 40'000u);
      pair.server->set_read_deadline(Deadline::after(std::chrono::seconds(-1)));
      EXPECT_FALSE(pair.server->wait_readable());
      pair.client.reset();
      idle.push_back(std::move(pair.server));
      others.push_back(std::move(pair.client_raw));
    };
    for (int i = 0; i < 20; ++i) connect();  // what is made once
    const std::size_t before = ::mallinfo2().uordblks;
    for (std::size_t i = 0; i < kCount; ++i) connect();
    const std::size_t each = (::mallinfo2().uordblks - before) / kCount;
    RecordProperty("bytes", std::to_string(each));
    std::printf("an idle TLS connection holds %zu bytes of heap\n", each);
    EXPECT_LT(each, 20'000u) << "most of it is OpenSSL's; one buffer more would be 17 KB";
  });
}
#endif

}  // namespace
}  // namespace treadle::net
