#include <gtest/gtest.h>

#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/net/tcp.h>
#include <treadle/net/tls_conn.h>

#include "net/net_fixture.h"
#include "support/spawn.h"
#include "support/tls_fixture.h"

namespace treadle::net {
namespace {

using test::issue;
using test::Issued;
using test::make_listener;
using test::make_tls_server;
using test::Process;
using test::read_all;
using test::read_exactly;
using test::Task;
using test::TlsFiles;

// Echoes one line per connection over TLS until it is closed.
class EchoServer {
 public:
  explicit EchoServer(TlsServerOptions options)
      : tls_(make_tls_server(std::move(options))), listener_(make_listener()) {
    acceptor_ = std::make_unique<Task>([this] {
      while (auto conn = listener_.accept())
        go([c = std::move(*conn), tls = tls_]() mutable { serve(std::move(c), tls); });
    });
  }
  ~EchoServer() {
    listener_.close();
    acceptor_->join();
  }

  std::string address(const std::string& host) const {
    return host + ":" + std::to_string(listener_.address().port());
  }

 private:
  static void serve(std::unique_ptr<Conn> raw, const TlsServer& tls) {
    TlsConn conn(std::move(raw), tls);
    conn.set_deadline(Deadline::after(test::patience()));
    if (!conn.handshake()) return;
    std::string line(1000, '\0');
    const auto n = conn.read(test::writable(line));
    if (!n) return;
    const std::string answer =
        std::string(conn.version()) + " " + conn.peer_subject() + ": " + line.substr(0, *n);
    (void)conn.write_all(answer);
    (void)conn.shutdown_write();
  }

  TlsServer tls_;
  Listener listener_;
  std::unique_ptr<Task> acceptor_;
};

TlsClient make_client(TlsClientOptions options) {
  auto client = TlsClient::create(std::move(options));
  if (!client) throw std::runtime_error(client.error());
  return *client;
}

TEST(TlsClientDial, VerifiesNameAndAuthority) {
  test::run([] {
    const TlsFiles files;
    const std::string local = files.write("local", issue({.names = {"localhost"}}, &files.ca));
    const EchoServer server({.certificates = {{local}}});
    const TlsClient trusting = make_client({.ca_file = files.ca_file, .alpn = {"http/1.1"}});
    auto conn = dial_tls(server.address("localhost"), trusting);
    ASSERT_TRUE(conn) << conn.error().message();
    EXPECT_EQ((*conn)->alpn(), "http/1.1");
    EXPECT_NE((*conn)->peer_certificate(), "");
    ASSERT_TRUE((*conn)->write_all("hello"));
    EXPECT_EQ(read_all(**conn), "TLSv1.3 : hello");

    EXPECT_EQ(dial_tls(server.address("127.0.0.1"), trusting).error(), TlsErrc::certificate);
    EXPECT_EQ(dial_tls(server.address("localhost"), make_client({})).error(), TlsErrc::certificate);
    EXPECT_TRUE(dial_tls(server.address("127.0.0.1"),
                         make_client({.ca_file = files.ca_file, .server_name = "localhost"})));
    EXPECT_EQ(dial_tls(server.address("localhost"),
                       make_client({.ca_file = files.ca_file, .server_name = "other.example"}))
                  .error(),
              TlsErrc::certificate);
    EXPECT_EQ(dial_tls(server.address("localhost"),
                       make_client({.ca_file = files.ca_file, .server_name = "not a name"}))
                  .error(),
              Errc::invalid);
    EXPECT_TRUE(dial_tls(server.address("127.0.0.1"), make_client({.verify = false})));
    EXPECT_EQ(dial_tls(server.address("localhost"),
                       make_client({.ca_file = files.ca_file, .alpn = {"h2"}}))
                  .error(),
              TlsErrc::alert);
  });
}

TEST(TlsClientDial, ShowsItsCertificate) {
  test::run([] {
    const TlsFiles files;
    const std::string alice = files.write("alice", issue({.common_name = "alice"}, &files.ca));
    const EchoServer server({.certificates = {{files.site_file}},
                             .client_auth = ClientAuth::require,
                             .client_ca_file = files.ca_file});
    const TlsClient client = make_client({.ca_file = files.ca_file,
                                          .server_name = "a.example",
                                          .certificate = TlsCertificate{.chain_file = alice}});
    auto conn = dial_tls(server.address("127.0.0.1"), client);
    ASSERT_TRUE(conn) << conn.error().message();
    ASSERT_TRUE((*conn)->write_all("hi"));
    EXPECT_EQ(read_all(**conn), "TLSv1.3 CN=alice: hi");
  });
}

TEST(TlsClientDial, ErrorsNameWhatIsWrong) {
  const TlsFiles files;
  const auto error = [](TlsClientOptions options) {
    const auto client = TlsClient::create(std::move(options));
    return client ? "" : client.error();
  };
  EXPECT_EQ(error({.ca_file = "/no/ca"}), "cannot read /no/ca: No such file or directory");
  EXPECT_EQ(error({.certificate = TlsCertificate{.chain_file = files.ca_file}}),
            files.ca_file + ": no private key in it");
  EXPECT_EQ(error({.alpn = {std::string(256, 'x')}}),
            "an ALPN name has 1 to 255 bytes, which \"" + std::string(256, 'x') + "\" has not");
}

TEST(TlsClientDial, HonoursTheContext) {
  test::run([] {
    const TlsFiles files;
    Listener silent = make_listener();
    const auto limited = with_timeout(current_context(), std::chrono::milliseconds(30));
    const ContextScope scope(limited.context);
    EXPECT_EQ(dial_tls("127.0.0.1:" + std::to_string(silent.address().port()),
                       make_client({.ca_file = files.ca_file}))
                  .error(),
              Errc::timed_out);
  });
}

// The tool as the client: another implementation of everything but the library.
TEST(TlsClientTool, TalksToOurServer) {
  test::run([] {
    const TlsFiles files;
    const EchoServer server({.certificates = {{files.site_file}}});
    for (const std::string version : {"-tls1_2", "-tls1_3"}) {
      Process client({"openssl", "s_client", "-connect", server.address("127.0.0.1"), "-servername",
                      "a.example", "-verify_hostname", "a.example", "-CAfile", files.ca_file,
                      "-verify_return_error", "-alpn", "h2,http/1.1", version, "-ign_eof"},
                     {.environment = {}, .directory = "", .input = "hello\n"});
      EXPECT_EQ(client.wait(), 0);
      const std::string output = client.output();
      EXPECT_NE(output.find("Verify return code: 0 (ok)"), std::string::npos) << output;
      EXPECT_NE(output.find("ALPN protocol: http/1.1"), std::string::npos) << output;
      EXPECT_NE(output.find(": hello"), std::string::npos) << output;
    }
  });
}

TEST(TlsClientTool, IsToldWhyNot) {
  test::run([] {
    const TlsFiles files;
    const EchoServer server({.certificates = {{files.site_file}}});
    const auto says = [&](const std::vector<std::string>& options) {
      std::vector<std::string> argv = {"openssl", "s_client", "-connect",
                                       server.address("127.0.0.1")};
      argv.insert(argv.end(), options.begin(), options.end());
      Process client(argv);
      EXPECT_NE(client.wait(), 0);
      return client.output();
    };
    EXPECT_NE(says({"-alpn", "h2"}).find("alert no application protocol"), std::string::npos);
    EXPECT_NE(says({"-tls1_1", "-cipher", "ALL:@SECLEVEL=0"}).find("alert protocol version"),
              std::string::npos);
    EXPECT_NE(says({"-tls1_2", "-cipher", "AES128-SHA"}).find("alert handshake failure"),
              std::string::npos);
  });
}

TEST(TlsClientTool, ServesOurClient) {
  test::run([] {
    const TlsFiles files;
    for (const std::string version : {"-tls1_2", "-tls1_3"}) {
      const std::string port = std::to_string(test::unused_port());
      Process server({"openssl", "s_server", "-accept", "127.0.0.1:" + port, "-cert",
                      files.site_file, "-naccept", "1", "-www", version});
      ASSERT_TRUE(server.wait_for_output("ACCEPT"));
      auto conn = dial_tls("127.0.0.1:" + port,
                           make_client({.ca_file = files.ca_file, .server_name = "a.example"}));
      ASSERT_TRUE(conn) << conn.error().message();
      ASSERT_TRUE((*conn)->write_all("GET / HTTP/1.0\r\n\r\n"));
      EXPECT_TRUE(read_exactly(**conn, 15).starts_with("HTTP/1.0 200 ok"));
      (*conn)->close();
      EXPECT_EQ(server.wait(), 0);
    }
  });
}

}  // namespace
}  // namespace treadle::net
