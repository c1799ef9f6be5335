#include <gtest/gtest.h>

#include <treadle/net/tls_conn.h>

#include "net/net_fixture.h"
#include "support/tls_fixture.h"

namespace treadle::net {
namespace {

using test::issue;
using test::Issued;
using test::kTlsVersions;
using test::make_tls_server;
using test::PeerOptions;
using test::shake_hands;
using test::TlsFiles;
using test::TlsPair;

// A connection that is used, so that the client has had its tickets, and its newest session.
std::shared_ptr<SSL_SESSION> session_of(const TlsServer& server, const PeerOptions& options) {
  TlsPair pair = shake_hands(server, options);
  EXPECT_TRUE(pair.client_ok) << pair.client->error();
  EXPECT_TRUE(pair.server_result);
  EXPECT_TRUE(pair.server->write_all("x"));
  EXPECT_EQ(pair.client->read_exactly(1), "x");
  EXPECT_TRUE(pair.client->session());
  return pair.client->session();
}

// Whether the server resumes the session of a client that comes with it.
bool resumes(const TlsServer& server, PeerOptions options,
             const std::shared_ptr<SSL_SESSION>& session) {
  options.session = session.get();
  TlsPair pair = shake_hands(server, options);
  EXPECT_TRUE(pair.client_ok) << pair.client->error();
  EXPECT_TRUE(pair.server_result);
  EXPECT_EQ(pair.server->resumed(), pair.client->resumed());
  EXPECT_TRUE(pair.server->write_all("still works"));
  EXPECT_EQ(pair.client->read_exactly(11), "still works");
  return pair.server->resumed();
}

TEST(TlsResumption, WorksAndKeepsWhatWasAgreedOn) {
  test::run([] {
    const TlsFiles files;
    const Issued alice = issue({.common_name = "alice", .key = 3}, &files.ca);
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}},
                                              .client_auth = ClientAuth::require,
                                              .client_ca_file = files.ca_file});
    for (const int version : kTlsVersions) {
      PeerOptions options{.min_version = version, .max_version = version, .certificate = &alice};
      options.alpn = "\x08http/1.1";
      const auto session = session_of(server, options);
      options.session = session.get();
      TlsPair pair = shake_hands(server, options);
      ASSERT_TRUE(pair.server_result);
      EXPECT_TRUE(pair.server->resumed());
      EXPECT_EQ(pair.server->server_name(), "a.example");
      EXPECT_EQ(pair.server->alpn(), "http/1.1");
      EXPECT_EQ(pair.server->peer_subject(), "CN=alice");
    }
  });
}

TEST(TlsResumption, SurvivesAReloadButNotAnotherProcess) {
  test::run([] {
    const TlsFiles files;
    TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    const TlsServer stranger = make_tls_server({.certificates = {{files.site_file}}});
    for (const int version : kTlsVersions) {
      const PeerOptions options{.min_version = version, .max_version = version};
      const auto session = session_of(server, options);
      ASSERT_TRUE(server.reload());
      EXPECT_TRUE(resumes(server, options, session));
      EXPECT_FALSE(resumes(stranger, options, session_of(server, options)));
    }
  });
}

TEST(TlsResumption, StaysWithItsHost) {
  test::run([] {
    const TlsFiles files;
    const auto other = files.write("b", issue({.names = {"b.example"}}, &files.ca));
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}, {other}}});
    for (const int version : kTlsVersions) {
      // Two names of one certificate, two certificates, a name and none, unknown names.
      const std::pair<const char*, const char*> pairs[] = {{"one.w.example", "two.w.example"},
                                                           {"a.example", "b.example"},
                                                           {"b.example", "a.example"},
                                                           {"a.example", ""},
                                                           {"x.unknown", "y.unknown"}};
      for (const auto& [made, used] : pairs) {
        PeerOptions options{.min_version = version, .max_version = version};
        options.server_name = made;
        const auto session = session_of(server, options);
        const auto second = session_of(server, options);
        EXPECT_TRUE(resumes(server, options, session)) << made;
        // The client would send no session of another name, so it is told that it has none.
        SSL_SESSION_set1_hostname(second.get(), used[0] != '\0' ? used : nullptr);
        options.server_name = used;
        EXPECT_FALSE(resumes(server, options, second)) << made << " on " << used;
      }
    }
  });
}

TEST(TlsResumption, EndsWhenMoreIsDemandedOfClients) {
  test::run([] {
    const TlsFiles files;
    const Issued alice = issue({.common_name = "alice", .key = 3}, &files.ca);
    const Issued new_ca = issue({.common_name = "New", .authority = true, .key = 5});
    const Issued bob = issue({.common_name = "bob", .key = 4}, &new_ca);
    files.tree.write("new-ca.pem", new_ca.pem());
    TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    for (const int version : kTlsVersions) {
      PeerOptions options{.min_version = version, .max_version = version};
      TlsServerOptions demands{.certificates = {{files.site_file}}};
      ASSERT_TRUE(server.reload(demands));
      const auto anonymous = session_of(server, options);
      demands.client_auth = ClientAuth::require;
      demands.client_ca_file = files.ca_file;
      ASSERT_TRUE(server.reload(demands));
      options.certificate = &alice;
      EXPECT_FALSE(resumes(server, options, anonymous));
      const auto of_alice = session_of(server, options);
      demands.client_ca_file = files.path("new-ca.pem");
      ASSERT_TRUE(server.reload(demands));
      options.certificate = &bob;
      EXPECT_FALSE(resumes(server, options, of_alice)) << "its authority is not believed any more";
    }
  });
}

TEST(TlsResumption, CanBeSwitchedOff) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server =
        make_tls_server({.certificates = {{files.site_file}}, .ticket_rotation = Duration::zero()});
    for (const int version : kTlsVersions) {
      TlsPair pair = shake_hands(server, {.min_version = version, .max_version = version});
      ASSERT_TRUE(pair.server_result);
      ASSERT_TRUE(pair.server->write_all("x"));
      EXPECT_EQ(pair.client->read_exactly(1), "x");
      const auto session = pair.client->session();
      EXPECT_TRUE(!session || SSL_SESSION_has_ticket(session.get()) == 0);
    }
  });
}

}  // namespace
}  // namespace treadle::net
