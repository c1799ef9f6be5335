// Streams share the BIO of the thread that they are at work on: see tls_stream.cpp.
#include "tls_stream.h"

#include <gtest/gtest.h>

#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "support/tls_fixture.h"

namespace treadle::net::tls {
namespace {

using test::TlsFiles;
using Outcome = TlsStream::Outcome;

// A server's stream, and OpenSSL's client for it, in memory.
class Both {
 public:
  Both(std::shared_ptr<const ServerConfig> config, const char* name)
      : stream(std::move(config)),
        context_(SSL_CTX_new(TLS_client_method())),
        client_(SSL_new(context_.get())) {
    SSL_set_tlsext_host_name(client_.get(), name);
    SSL_set_bio(client_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(client_.get());
  }

  // What either has to say, to the other; the stream's step is the caller's.
  void to_stream() {
    SSL_do_handshake(client_.get());
    carry_to_stream();
  }
  void to_client() {
    const std::vector<std::byte> out = stream.take_output();
    BIO_write(SSL_get_rbio(client_.get()), out.data(), static_cast<int>(out.size()));
  }

  // A text there and back.
  void expect_echo(std::string_view text) {
    ASSERT_EQ(SSL_write(client_.get(), text.data(), static_cast<int>(text.size())),
              static_cast<int>(text.size()));
    carry_to_stream();
    std::string got(100, '\0');
    const TlsStream::Read read = stream.read(std::as_writable_bytes(std::span(got)));
    ASSERT_EQ(read.outcome, Outcome::done);
    got.resize(read.size);
    EXPECT_EQ(got, text);
    ASSERT_EQ(stream.write(std::as_bytes(std::span(text))), Outcome::done);
    to_client();
    std::string back(100, '\0');
    const int n = SSL_read(client_.get(), back.data(), static_cast<int>(back.size()));
    ASSERT_GT(n, 0);
    EXPECT_EQ(back.substr(0, static_cast<std::size_t>(n)), text);
  }

  TlsStream stream;

 private:
  void carry_to_stream() {
    const std::span<std::byte> room = stream.input_room();
    const int n = BIO_read(SSL_get_wbio(client_.get()), room.data(), static_cast<int>(room.size()));
    stream.add_input(n > 0 ? static_cast<std::size_t>(n) : 0);
  }

  ContextPtr context_;
  SslPtr client_;
};

std::shared_ptr<const ServerConfig> make_config(const TlsFiles& files) {
  const TlsServerOptions options{.certificates = {{files.site_file}}};
  auto loaded = ServerConfig::load(options, std::make_shared<TicketKeys>(options.ticket_rotation));
  if (!loaded) throw std::runtime_error(loaded.error());
  return *loaded;
}

TEST(TlsStream, ThoseOfOneThreadThatTakeTurnsDoNotMixUp) {
  const TlsFiles files;
  const auto config = make_config(files);
  Both one(config, "a.example");
  Both other(config, "x.w.example");
  for (Both* b : {&one, &other}) {
    b->to_stream();
    EXPECT_EQ(b->stream.handshake(), Outcome::want_input);
  }
  for (Both* b : {&one, &other}) {
    b->to_client();
    b->to_stream();
  }
  EXPECT_EQ(other.stream.handshake(), Outcome::done);
  EXPECT_EQ(one.stream.handshake(), Outcome::done);
  EXPECT_EQ(one.stream.server_name(), "a.example");
  EXPECT_EQ(other.stream.server_name(), "x.w.example");
  one.to_client();
  other.to_client();
  one.expect_echo("one");
  other.expect_echo("other");
  one.expect_echo("one again");
}

TEST(TlsStream, KeepsNoneOfTheCiphersThatWereOffered) {
  const TlsFiles files;
  Both b(make_config(files), "a.example");
  b.to_stream();
  EXPECT_EQ(b.stream.handshake(), Outcome::want_input);
  EXPECT_GT(sk_SSL_CIPHER_num(SSL_get_client_ciphers(b.stream.ssl())), 0);
  b.to_client();
  b.to_stream();
  EXPECT_EQ(b.stream.handshake(), Outcome::done);
  EXPECT_EQ(sk_SSL_CIPHER_num(SSL_get_client_ciphers(b.stream.ssl())), 0);
  b.to_client();
  b.expect_echo("all the same");
}

TEST(TlsStream, MayGoOnOnAnotherThreadAtEachStep) {
  const TlsFiles files;
  const auto config = make_config(files);
  auto moving = std::make_unique<Both>(config, "a.example");
  Both staying(config, "x.w.example");
  // Each thread has ended, and its BIO with it but for the streams' references, before the next
  // one begins.
  const auto elsewhere = [](auto&& step) { std::thread(step).join(); };
  moving->to_stream();
  staying.to_stream();
  EXPECT_EQ(staying.stream.handshake(), Outcome::want_input);
  // On that thread another one is at work after it: its BIO is left as that one's.
  Both last(config, "y.w.example");
  last.to_stream();
  elsewhere([&] {
    EXPECT_EQ(moving->stream.handshake(), Outcome::want_input);
    EXPECT_EQ(last.stream.handshake(), Outcome::want_input);
  });
  moving->to_client();
  staying.to_client();
  moving->to_stream();
  staying.to_stream();
  elsewhere([&] { EXPECT_EQ(moving->stream.handshake(), Outcome::done); });
  EXPECT_EQ(staying.stream.handshake(), Outcome::done);
  moving->to_client();
  staying.to_client();
  elsewhere([&] { moving->expect_echo("elsewhere"); });
  moving->expect_echo("here");
  staying.expect_echo("still here");
  elsewhere([&] { EXPECT_EQ(moving->stream.end(), Outcome::done); });
  elsewhere([&] { moving.reset(); });
  staying.expect_echo("and now");
}

TEST(TlsStream, ManyThreadsAtWorkAtOnceDoNotMixUp) {
  const TlsFiles files;
  const auto config = make_config(files);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&config, t] {
      for (int i = 0; i < 10; ++i) {
        Both b(config, t % 2 == 0 ? "a.example" : "x.w.example");
        b.to_stream();
        EXPECT_EQ(b.stream.handshake(), Outcome::want_input);
        b.to_client();
        b.to_stream();
        EXPECT_EQ(b.stream.handshake(), Outcome::done);
        b.to_client();
        b.expect_echo("thread " + std::to_string(t));
      }
    });
  for (std::thread& t : threads) t.join();
}

}  // namespace
}  // namespace treadle::net::tls
