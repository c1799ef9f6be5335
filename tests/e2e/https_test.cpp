// HTTP over TLS, and what comes before the first request: PROXY headers, certificates, limits.
#include <treadle/net/tcp.h>
#include <treadle/net/tls_conn.h>
#include <treadle/timer.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "http_fixture.h"
#include "support/tls_fixture.h"

namespace treadle::test {
namespace {

using http::Request;
using http::Response;

http::ServerOptions with_tls(const TlsFiles& files) {
  http::ServerOptions o;
  o.tls = net::TlsServerOptions{.certificates = {{.chain_file = files.site_file}}};
  return o;
}

net::TlsClientOptions trusting(const TlsFiles& files, std::string name = "a.example") {
  return {.ca_file = files.ca_file, .server_name = std::move(name)};
}

// A client that believes the test's authority.
class Client {
 public:
  Client(std::uint16_t port, const net::TlsClientOptions& options) {
    auto client = net::TlsClient::create(options);
    if (!client) throw std::runtime_error(client.error());
    auto conn = net::dial_tls("127.0.0.1:" + std::to_string(port), *client);
    error = conn ? std::error_code() : conn.error();
    if (conn) conn_ = std::move(*conn);
  }

  net::TlsConn* operator->() noexcept { return conn_.get(); }
  explicit operator bool() const noexcept { return conn_ != nullptr; }
  bool send(std::string_view text) { return static_cast<bool>(conn_->write_all(text)); }
  // Up to and including `mark`, or the end, whose error stays in `error`.
  std::string read_until(std::string_view mark) {
    std::string all;
    while (all.find(mark) == std::string::npos) {
      std::array<std::byte, 4096> some;
      const auto n = conn_->read(some);
      error = n ? std::error_code() : n.error();
      if (!n || *n == 0) break;
      all.append(reinterpret_cast<const char*>(some.data()), *n);
    }
    return all;
  }
  std::string read_to_end() { return read_until(std::string_view("\0never\0", 7)); }

  std::error_code error;

 private:
  std::unique_ptr<net::TlsConn> conn_;
};

std::string close_request(std::string_view target) { return get(target, "Connection: close\r\n"); }

TEST(Https, AnswersAndEndsWithCloseNotify) {
  run([] {
    const TlsFiles files;
    RunningServer server(http::Handler{[](Response& res, const Request& req) {
                           EXPECT_TRUE(req.secure());
                           ASSERT_NE(req.tls(), nullptr);
                           EXPECT_EQ(req.tls()->version(), "TLSv1.3");
                           EXPECT_EQ(req.tls()->server_name(), "a.example");
                           res.print("over TLS");
                         }},
                         with_tls(files));
    Client client(server.port(), trusting(files));
    ASSERT_TRUE(client) << client.error.message();
    ASSERT_TRUE(client.send(get("/") + get("/")));
    std::string two = client.read_until("over TLS");
    while (two.rfind("over TLS") == two.find("over TLS")) two += client.read_until("over TLS");
    ASSERT_TRUE(client.send(close_request("/")));
    const std::string last = client.read_to_end();
    EXPECT_TRUE(last.ends_with("over TLS")) << last;
    EXPECT_FALSE(client.error) << client.error.message();  // a clean end, no truncation
  });
}

TEST(Https, LargeBodiesGoBothWays) {
  run([] {
    const TlsFiles files;
    const std::string body = pattern(1'000'000);
    RunningServer server(http::Handler{[](Response& res, const Request& req) {
                           auto all = req.body().read_all();
                           ASSERT_TRUE(all);
                           res.content_length(all->size()).write(*all);
                         }},
                         with_tls(files));
    Client client(server.port(), trusting(files));
    ASSERT_TRUE(client);
    Task sender([&] { EXPECT_TRUE(client.send(post("/", body, "Connection: close\r\n"))); });
    const std::string all = client.read_to_end();
    sender.join();
    EXPECT_TRUE(all.ends_with(body));
  });
}

TEST(Https, CutResponseShowsAsTruncated) {
  run([] {
    const TlsFiles files;
    RunningServer server(
        http::Handler{[](Response& res, const Request&) { res.content_length(100).print("half"); }},
        with_tls(files));
    Client client(server.port(), trusting(files));
    ASSERT_TRUE(client);
    ASSERT_TRUE(client.send(get("/")));
    (void)client.read_to_end();
    EXPECT_EQ(client.error, make_error_code(net::TlsErrc::truncated));
  });
}

TEST(Https, IdleConnectionEndsWithCloseNotify) {
  run([] {
    const TlsFiles files;
    http::ServerOptions o = with_tls(files);
    o.idle_timeout = 50ms;
    RunningServer server(http::Handler{[](Response& res, const Request&) { res.print("ok"); }}, o);
    Client client(server.port(), trusting(files));
    ASSERT_TRUE(client);
    ASSERT_TRUE(client.send(get("/")));
    EXPECT_TRUE(client.read_to_end().ends_with("ok"));
    EXPECT_FALSE(client.error) << client.error.message();
  });
}

// The rest of a record is waited for with buffers in hand for a second only; a head's next record
// has all of the head's time.
TEST(Https, HeadInTwoRecordsHasTheHeadsTime) {
  run([] {
    const TlsFiles files;
    RunningServer server(http::Handler{[](Response& res, const Request&) { res.print("ok"); }},
                         with_tls(files));
    Client client(server.port(), trusting(files));
    ASSERT_TRUE(client);
    const std::string request = get("/");
    for (int i = 0; i < 2; ++i) {
      ASSERT_TRUE(client.send(request.substr(0, 10)));
      ASSERT_TRUE(treadle::sleep(1200ms));
      ASSERT_TRUE(client.send(request.substr(10)));
      const std::string answer = client.read_until("ok");
      EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << i << ": " << answer;
    }
  });
}

TEST(Https, EmptyLineBeginsTheHeadsTime) {
  run([] {
    const TlsFiles files;
    http::ServerOptions o = with_tls(files);
    o.header_timeout = 2s;  // of the first request, too
    o.idle_timeout = 60s;
    RunningServer server(http::Handler{[](Response& res, const Request&) { res.print("ok"); }}, o);
    Client client(server.port(), trusting(files));
    ASSERT_TRUE(client);
    ASSERT_TRUE(client.send(get("/")));
    EXPECT_TRUE(client.read_until("ok").ends_with("ok"));
    const TimePoint begin = Clock::now();
    ASSERT_TRUE(client.send("\r\n"));
    EXPECT_EQ(client.read_to_end(), "");
    EXPECT_LT(Clock::now() - begin, 30s);
  });
}

TEST(Https, PlainRequestIsAnsweredInClearText) {
  run([] {
    const TlsFiles files;
    RunningServer server(http::Handler{[](Response& res, const Request&) { res.print("ok"); }},
                         with_tls(files));
    RawClient client(server.port());
    const RawResponse r = client.roundtrip(get("/"));
    EXPECT_EQ(r.status, 400);
    EXPECT_NE(r.body.find("https"), std::string::npos);
    EXPECT_EQ(r.header("Connection"), "close");
    EXPECT_EQ(client.read_until_close(), "");
    EXPECT_FALSE(client.was_reset());
    // The server goes on.
    EXPECT_TRUE(Client(server.port(), trusting(files)));
  });
}

TEST(Https, SilentHandshakeTimesOut) {
  run([] {
    const TlsFiles files;
    http::ServerOptions o = with_tls(files);
    o.tls_handshake_timeout = 50ms;
    RunningServer server(http::Handler{[](Response&, const Request&) {}}, o);
    RawClient client(server.port());
    EXPECT_EQ(client.read_until_gone(), "");
  });
}

TEST(Https, DeadlineIsAnsweredWith503) {
  run([] {
    const TlsFiles files;
    http::ServerOptions o = with_tls(files);
    o.handler_timeout = 50ms;
    RunningServer server(http::Handler{[](Response&, const Request&) {
                           EXPECT_EQ(treadle::sleep(100s).error(),
                                     make_error_code(Errc::timed_out));
                         }},
                         o);
    Client client(server.port(), trusting(files));
    ASSERT_TRUE(client);
    ASSERT_TRUE(client.send(get("/")));
    const std::string all = client.read_to_end();
    EXPECT_TRUE(all.starts_with("HTTP/1.1 503 ")) << all;
    EXPECT_FALSE(client.error) << client.error.message();
  });
}

TEST(Https, ClientThatWentAwayCancelsTheHandler) {
  run([] {
    const TlsFiles files;
    Event started;
    Event ended;
    RunningServer server(http::Handler{[&](Response&, const Request&) {
                           started.set();
                           EXPECT_FALSE(treadle::sleep(100s));
                           ended.set();
                         }},
                         with_tls(files));
    Client client(server.port(), trusting(files));
    ASSERT_TRUE(client);
    ASSERT_TRUE(client.send(get("/")));
    started.wait();
    client->close();
    ended.wait();
  });
}

TEST(Https, UpgradeWorks) {
  run([] {
    const TlsFiles files;
    RunningServer server(http::Handler{[](Response& res, const Request&) {
                           const auto mine = res.upgrade("echo");
                           ASSERT_TRUE(mine);
                           (void)mine->conn->write_all("hello");
                           (void)mine->conn->shutdown_write();
                           mine->conn->close();
                         }},
                         with_tls(files));
    Client client(server.port(), trusting(files));
    ASSERT_TRUE(client);
    ASSERT_TRUE(client.send(get("/", "Connection: Upgrade\r\nUpgrade: echo\r\n")));
    EXPECT_TRUE(client.read_to_end().ends_with("\r\n\r\nhello"));
    EXPECT_FALSE(client.error) << client.error.message();
  });
}

TEST(Https, OtherHostIsMisdirectedWhereClientCertificatesAreRequired) {
  run([] {
    const TlsFiles files;
    const Issued alice = issue({.names = {}, .common_name = "alice"}, &files.ca);
    http::ServerOptions o = with_tls(files);
    o.tls->client_auth = net::ClientAuth::require;
    o.tls->client_ca_file = files.ca_file;
    RunningServer server(http::Handler{[](Response& res, const Request& req) {
                           res.print("{}", req.tls()->peer_subject());
                         }},
                         o);
    net::TlsClientOptions with_certificate = trusting(files);
    with_certificate.certificate = net::TlsCertificate{.chain_file = files.write("alice", alice)};
    const auto ask = [&](std::string_view host) {
      Client client(server.port(), with_certificate);
      EXPECT_TRUE(client) << client.error.message();
      if (!client) return std::string();
      EXPECT_TRUE(client.send("GET / HTTP/1.1\r\nConnection: close\r\nHost: " + std::string(host) +
                              "\r\n\r\n"));
      return client.read_to_end();
    };
    EXPECT_TRUE(ask("a.example").ends_with("CN=alice"));
    EXPECT_TRUE(ask("A.example:443").ends_with("CN=alice"));
    EXPECT_TRUE(ask("b.w.example").starts_with("HTTP/1.1 421 "));
    // Without a certificate nothing is answered at all.
    Client nobody(server.port(), trusting(files));
    if (nobody) {
      (void)nobody.send(get("/"));
      EXPECT_EQ(nobody.read_to_end(), "");
    }
  });
}

TEST(Https, ReloadTakesTheCertificatesOfNow) {
  run([] {
    const TlsFiles files;
    const std::string path = files.write("current", files.site);
    http::ServerOptions o;
    o.tls = net::TlsServerOptions{.certificates = {{.chain_file = path}}};
    o.address = "127.0.0.1:0";
    RunningServer server(http::Handler{[](Response& res, const Request&) { res.print("ok"); }}, o);
    EXPECT_FALSE(Client(server.port(), trusting(files, "new.example")));
    (void)files.write("current", issue({.names = {"new.example"}}, &files.ca));
    ASSERT_TRUE(server->reload(o));
    EXPECT_TRUE(Client(server.port(), trusting(files, "new.example")));
    // What is wrong changes nothing.
    o.tls->certificates[0].chain_file = files.path("absent");
    EXPECT_FALSE(server->reload(o));
    EXPECT_TRUE(Client(server.port(), trusting(files, "new.example")));
  });
}

TEST(Https, EndpointsSpeakWhatTheyAreToldTo) {
  run([] {
    const TlsFiles files;
    http::ServerOptions o = with_tls(files);
    o.address = "";
    o.endpoints = {{.address = "127.0.0.1:0"}, {.address = "127.0.0.1:0", .tls = true}};
    http::Server server(
        o, http::Handler{[](Response& res, const Request& req) { res.print("{}", req.secure()); }});
    ASSERT_TRUE(server.listen());
    Task serving([&] { EXPECT_TRUE(server.serve()); });
    const auto all = server.addresses();
    ASSERT_EQ(all.size(), 2U);
    EXPECT_EQ(fetch(all[0].port(), get("/")).body, "false");
    Client client(all[1].port(), trusting(files));
    ASSERT_TRUE(client);
    ASSERT_TRUE(client.send(close_request("/")));
    EXPECT_TRUE(client.read_to_end().ends_with("true"));
    EXPECT_TRUE(server.shutdown(with_timeout(background(), 3s).context));
    serving.join();
  });
}

void tell_client(Response& res, const Request& req) {
  res.print("{} {} {}", req.remote_address().to_string(), req.peer_address().host(), req.secure());
}

TEST(Https, ProxyHeaderSaysWhoTheClientIs) {
  run([] {
    RunningServer server(http::Handler{tell_client}, {.proxy_protocol = true});
    RawClient client(server.port());
    ASSERT_TRUE(client.send("PROXY TCP4 192.0.2.7 192.0.2.1 5000 80\r\n" + get("/")));
    EXPECT_EQ(client.read_response().body, "192.0.2.7:5000 192.0.2.7 false");
    // Once only.
    EXPECT_EQ(client.roundtrip(get("/")).body, "192.0.2.7:5000 192.0.2.7 false");
  });
}

TEST(Https, ProxyHeaderIsRequiredAndNotWaitedForLong) {
  run([] {
    RunningServer server(http::Handler{tell_client},
                         {.proxy_protocol = true, .proxy_timeout = 50ms});
    RawClient without(server.port());
    ASSERT_TRUE(without.send(get("/")));
    EXPECT_EQ(without.read_until_gone(), "");
    RawClient silent(server.port());
    EXPECT_EQ(silent.read_until_gone(), "");
  });
}

TEST(Https, ProxyHeaderComesBeforeTls) {
  run([] {
    const TlsFiles files;
    http::ServerOptions o = with_tls(files);
    o.proxy_protocol = true;
    RunningServer server(http::Handler{tell_client}, o);
    auto raw = net::dial_tcp("127.0.0.1:" + std::to_string(server.port()));
    ASSERT_TRUE(raw);
    ASSERT_TRUE((*raw)->write_all("PROXY TCP6 2001:db8::7 2001:db8::1 5000 443\r\n"));
    auto options = net::TlsClient::create(trusting(files));
    ASSERT_TRUE(options);
    net::TlsConn tls(std::move(*raw), *options, "a.example");
    ASSERT_TRUE(tls.handshake());
    ASSERT_TRUE(tls.write_all(close_request("/")));
    std::string all;
    std::array<std::byte, 1024> some;
    for (;;) {
      const auto n = tls.read(some);
      if (!n || *n == 0) break;
      all.append(reinterpret_cast<const char*>(some.data()), *n);
    }
    EXPECT_TRUE(all.ends_with("[2001:db8::7]:5000 2001:db8::7 true")) << all;
  });
}

TEST(Https, ForwardedClientsAreBelievedOnlyFromTrustedProxies) {
  run([] {
    const std::string fields =
        "X-Forwarded-For: 203.0.113.9, 192.0.2.7\r\nX-Forwarded-Proto: https\r\n"
        "X-Request-Id: from-outside\r\n";
    const auto tell = [](Response& res, const Request& req) {
      res.print("{} {} {} {}", req.remote_address().host(), req.peer_address().host(), req.secure(),
                req.id());
    };
    RunningServer trusting_server(http::Handler{tell}, {.trusted_proxies = {"127.0.0.0/8"}});
    EXPECT_EQ(fetch(trusting_server.port(), get("/", fields)).body,
              "192.0.2.7 127.0.0.1 true from-outside");
    RunningServer doubting(http::Handler{tell});
    const std::string body = fetch(doubting.port(), get("/", fields)).body;
    EXPECT_TRUE(body.starts_with("127.0.0.1 127.0.0.1 false ")) << body;
    EXPECT_EQ(body.find("from-outside"), std::string::npos);
  });
}

TEST(Https, OneAddressHasOnlySoManyConnections) {
  run([] {
    RunningServer server(http::Handler{[](Response& res, const Request&) { res.print("ok"); }},
                         {.max_connections_per_address = 2});
    std::optional<RawClient> a(server.port());
    RawClient b(server.port());
    EXPECT_EQ(a->roundtrip(get("/")).body, "ok");
    EXPECT_EQ(b.roundtrip(get("/")).body, "ok");
    RawClient c(server.port());
    EXPECT_EQ(c.read_until_gone(), "");
    a.reset();
    // The place is free once the server has seen the end.
    while (server->stats().connections > 1) gosched();
    EXPECT_EQ(fetch(server.port(), get("/")).body, "ok");
  });
}

}  // namespace
}  // namespace treadle::test
