#include <gtest/gtest.h>
#include <openssl/ocsp.h>
#include <sys/stat.h>

#include <treadle/go.h>
#include <treadle/net/tls_conn.h>

#include "support/tls_fixture.h"

namespace treadle::net {
namespace {

using test::CertificateOptions;
using test::issue;
using test::Issued;
using test::KeyKind;
using test::make_tls_server;
using test::PeerOptions;
using test::shake_hands;
using test::Task;
using test::TlsFiles;
using test::TlsPair;

const std::string kHttp11 = "\x08http/1.1";
const std::string kH2 = "\x02h2";

// What create() says is wrong; empty when nothing is.
std::string error_of(TlsServerOptions options) {
  const auto server = TlsServer::create(std::move(options));
  return server ? "" : server.error();
}

TEST(TlsServerFiles, ThatCannotBeReadAreNamed) {
  const TlsFiles files;
  EXPECT_EQ(error_of({}), "TLS needs a certificate");
  EXPECT_EQ(error_of({.certificates = {{""}}}), "no certificate file is named");
  EXPECT_EQ(error_of({.certificates = {{"/no/such/file"}}}),
            "cannot read /no/such/file: No such file or directory");
  EXPECT_EQ(error_of({.certificates = {{files.site_file, "/no/key"}}}),
            "cannot read /no/key: No such file or directory");
  EXPECT_EQ(error_of({.certificates = {{files.site_file, "", "/no/ocsp"}}}),
            "cannot read /no/ocsp: No such file or directory");
  EXPECT_EQ(error_of({.certificates = {{files.tree.path("")}}}),
            "cannot read " + files.tree.path("") + ": Is a directory");
  files.tree.write("huge", std::string((4 << 20) + 1, 'x'));
  EXPECT_EQ(error_of({.certificates = {{files.path("huge")}}}),
            files.path("huge") + ": longer than 4 MiB");
}

TEST(TlsServerFiles, WithoutACertificateOrKeyAreNamed) {
  const TlsFiles files;
  files.tree.write("empty", "");
  files.tree.write("text", "no PEM here\n");
  files.tree.write("cert", files.site.pem());
  files.tree.write("key", files.site.key_pem());
  files.tree.write("bad-cert", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  files.tree.write("bad-second", files.site.pem() +
                                     "-----BEGIN CERTIFICATE-----\nAAAA\n"
                                     "-----END CERTIFICATE-----\n");
  files.tree.write("bad-key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
  files.tree.write("encrypted", files.site.key_pem_encrypted());
  for (const char* name : {"empty", "text", "key"})
    EXPECT_EQ(error_of({.certificates = {{files.path(name), files.path("key")}}}),
              files.path(name) + ": no certificate in it");
  for (const char* name : {"empty", "text", "cert"})
    EXPECT_EQ(error_of({.certificates = {{files.path("cert"), files.path(name)}}}),
              files.path(name) + ": no private key in it");
  EXPECT_EQ(error_of({.certificates = {{files.path("cert")}}}),
            files.path("cert") + ": no private key in it");
  EXPECT_TRUE(error_of({.certificates = {{files.path("bad-cert"), files.path("key")}}})
                  .starts_with(files.path("bad-cert") + ": certificate 1 in it is damaged: "));
  EXPECT_TRUE(error_of({.certificates = {{files.path("bad-second"), files.path("key")}}})
                  .starts_with(files.path("bad-second") + ": certificate 2 in it is damaged: "));
  const auto bad_key = error_of({.certificates = {{files.path("cert"), files.path("bad-key")}}});
  EXPECT_TRUE(bad_key.starts_with(files.path("bad-key") + ": the private key in it is damaged: "))
      << bad_key;
  EXPECT_EQ(
      error_of({.certificates = {{files.path("cert"), files.path("encrypted")}}}),
      files.path("encrypted") + ": the private key is encrypted; it must be readable as it is");
  EXPECT_EQ(error_of({.certificates = {{files.path("cert"), files.path("key")}}}), "");
}

TEST(TlsServerFiles, ThatDoNotFitAreNamed) {
  const TlsFiles files;
  const Issued other = issue({.names = {"b.example"}, .key = 7});
  files.tree.write("cert", files.site.pem());
  files.tree.write("other-key", other.key_pem());
  EXPECT_EQ(error_of({.certificates = {{files.path("cert"), files.path("other-key")}}}),
            files.path("other-key") +
                ": the private key does not belong to the first certificate in " +
                files.path("cert"));
  const std::string weak = error_of({.certificates = {{files.site_file}}, .alpn = {""}});
  EXPECT_EQ(weak, "an ALPN name has 1 to 255 bytes, which \"\" has not");
}

TEST(TlsServerFiles, OfClientAuthoritiesAreNamed) {
  const TlsFiles files;
  files.tree.write("text", "nothing\n");
  const std::vector<TlsCertificate> site = {{files.site_file}};
  EXPECT_EQ(error_of({.certificates = site, .client_auth = ClientAuth::require}),
            "client certificates need client_ca_file, to be verified by");
  EXPECT_EQ(error_of({.certificates = site,
                      .client_auth = ClientAuth::request,
                      .client_ca_file = files.path("text")}),
            files.path("text") + ": no certificate in it");
  EXPECT_EQ(
      error_of(
          {.certificates = site, .client_auth = ClientAuth::require, .client_ca_file = "/no/ca"}),
      "cannot read /no/ca: No such file or directory");
}

TEST(TlsServerFiles, OfOcspAreChecked) {
  const TlsFiles files;
  const Issued other = issue({.names = {"b.example"}}, &files.ca);
  const auto error = [&](const std::string& text) {
    files.tree.write("ocsp", text);
    files.tree.write("chain", files.site.pem() + files.ca.pem());
    files.tree.write("key", files.site.key_pem());
    return error_of(
        {.certificates = {{files.path("chain"), files.path("key"), files.path("ocsp")}}});
  };
  const std::string path = files.path("ocsp");
  EXPECT_TRUE(error("junk").starts_with(path + ": no OCSP response in DER: ")) << error("junk");
  EXPECT_EQ(error(std::string("\x30\x03\x0a\x01\x03", 5)),
            path + ": the OCSP responder refused: trylater");
  EXPECT_EQ(error(test::ocsp_response(other, files.ca)),
            path + ": an OCSP response about another certificate");
  EXPECT_EQ(error(test::ocsp_response(files.site, files.ca)), "");
}

TEST(TlsServerFiles, ExpiredCertificatesAreServedAllTheSame) {
  test::run([] {
    const TlsFiles files;
    for (const bool old : {true, false}) {
      const auto site = files.write("odd", issue({.names = {"a.example"},
                                                  .not_before = old ? -7200 : 3600,
                                                  .not_after = old ? -3600 : 7200},
                                                 &files.ca));
      testing::internal::CaptureStderr();
      const TlsServer server = make_tls_server({.certificates = {{site}}});
      const std::string log = testing::internal::GetCapturedStderr();
      EXPECT_NE(log.find("tls: the certificate in " + site +
                         (old ? " has expired" : " is not valid yet")),
                std::string::npos)
          << log;
      EXPECT_TRUE(shake_hands(server).client_ok);
    }
  });
}

struct SniCase {
  std::string asked;
  std::string shown;  // common name
};

TEST(TlsServerSni, ChoosesByTheNamesInTheCertificates) {
  test::run([] {
    const TlsFiles files;
    const auto write = [&](const std::string& cn, const std::vector<std::string>& names) {
      return files.write(cn, issue({.names = names, .common_name = cn}, &files.ca));
    };
    const TlsServer server = make_tls_server(
        {.certificates = {{write("first", {"first.example"})},
                          {write("star", {"*.star.example", "Upper.Example", "x*.star2.example"})},
                          {write("exact", {"one.star.example", "first.example"})},
                          {write("only-cn.example", {})},
                          {write("cn-beside-san.example", {"san.example"})}}});
    const SniCase cases[] = {
        {"first.example", "first"},
        {"two.star.example", "star"},
        {"TWO.Star.Example", "star"},
        {"one.star.example", "exact"},
        {"star.example", "first"},
        {"a.b.star.example", "first"},
        {"upper.example", "star"},
        {"xy.star2.example", "first"},
        {"only-cn.example", "only-cn.example"},
        {"san.example", "cn-beside-san.example"},
        {"cn-beside-san.example", "first"},
        {"unknown.example", "first"},
        {"", "first"},
    };
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      for (const SniCase& c : cases) {
        TlsPair pair = shake_hands(
            server, {.server_name = c.asked, .min_version = version, .max_version = version});
        ASSERT_TRUE(pair.client_ok) << c.asked << ": " << pair.client->error();
        EXPECT_EQ(pair.client->subject(), c.shown) << c.asked;
      }
    }
  });
}

TEST(TlsServerSni, MatchesHostsAsTheClientMeantThem) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    TlsPair named = shake_hands(server, {.server_name = "A.Example"});
    ASSERT_TRUE(named.server_result);
    EXPECT_EQ(named.server->server_name(), "a.example");
    EXPECT_TRUE(named.server->name_matches("a.example"));
    EXPECT_TRUE(named.server->name_matches("A.EXAMPLE."));
    EXPECT_FALSE(named.server->name_matches("b.example"));
    EXPECT_FALSE(named.server->name_matches(""));
    EXPECT_FALSE(named.server->name_matches("a.example:443"));
    TlsPair anonymous = shake_hands(server, {.server_name = ""});
    ASSERT_TRUE(anonymous.server_result);
    EXPECT_EQ(anonymous.server->server_name(), "");
    EXPECT_TRUE(anonymous.server->name_matches("anything"));
  });
}

TEST(TlsServerKeys, OfBothKindsServeTheSameName) {
  test::run([] {
    const TlsFiles files;
    const auto rsa =
        files.write("rsa", issue({.names = {"a.example"}, .kind = KeyKind::rsa}, &files.ca));
    const TlsServer server = make_tls_server({.certificates = {{rsa}, {files.site_file}}});
    for (const char* name : {"a.example", "elsewhere.example"}) {
      PeerOptions options{.server_name = name,
                          .max_version = TLS1_2_VERSION,
                          .ciphers = "ECDHE-RSA-AES128-GCM-SHA256"};
      TlsPair by_rsa = shake_hands(server, options);
      ASSERT_TRUE(by_rsa.client_ok) << by_rsa.client->error();
      EXPECT_EQ(by_rsa.client->key_type(), EVP_PKEY_RSA);
      options.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256";
      TlsPair by_ec = shake_hands(server, options);
      ASSERT_TRUE(by_ec.client_ok) << by_ec.client->error();
      EXPECT_EQ(by_ec.client->key_type(), EVP_PKEY_EC);
    }
    const TlsServer ec_only = make_tls_server({.certificates = {{files.site_file}}});
    TlsPair none = shake_hands(
        ec_only, {.max_version = TLS1_2_VERSION, .ciphers = "ECDHE-RSA-AES128-GCM-SHA256"});
    EXPECT_FALSE(none.client_ok);
    EXPECT_EQ(none.server_result.error(), TlsErrc::no_cipher);
    EXPECT_EQ(none.server->error_text(), "no shared cipher");
  });
}

TEST(TlsServerProfile, RefusesOldVersionsAndCiphers) {
  test::run([] {
    const TlsFiles files;
    const auto rsa =
        files.write("rsa", issue({.names = {"a.example"}, .kind = KeyKind::rsa}, &files.ca));
    const TlsServer server = make_tls_server({.certificates = {{rsa}, {files.site_file}}});
    for (const int version : {TLS1_VERSION, TLS1_1_VERSION}) {
      TlsPair pair = shake_hands(
          server, {.min_version = version, .max_version = version, .ciphers = "ALL:@SECLEVEL=0"});
      EXPECT_FALSE(pair.client_ok);
      EXPECT_EQ(pair.server_result.error(), TlsErrc::version);
      EXPECT_EQ(pair.server->error_text(), "unsupported protocol");
    }
    for (const char* cipher :
         {"AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA256", "DHE-RSA-AES128-GCM-SHA256"}) {
      TlsPair pair = shake_hands(server, {.max_version = TLS1_2_VERSION, .ciphers = cipher});
      EXPECT_FALSE(pair.client_ok) << cipher;
      EXPECT_EQ(pair.server_result.error(), TlsErrc::no_cipher);
    }
    const TlsServer modern = make_tls_server({.certificates = {{rsa}}, .tls12 = false});
    EXPECT_EQ(shake_hands(modern, {.max_version = TLS1_2_VERSION}).server_result.error(),
              TlsErrc::version);
    EXPECT_TRUE(shake_hands(modern).server_result);
  });
}

TEST(TlsServerAlpn, ChoosesOursOrRefuses) {
  test::run([] {
    const TlsFiles files;
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    TlsPair both = shake_hands(server, {.alpn = kH2 + kHttp11});
    ASSERT_TRUE(both.client_ok);
    EXPECT_EQ(both.server->alpn(), "http/1.1");
    TlsPair none = shake_hands(server);
    ASSERT_TRUE(none.client_ok);
    EXPECT_EQ(none.server->alpn(), "");
    TlsPair h2 = shake_hands(server, {.alpn = kH2});
    EXPECT_FALSE(h2.client_ok);
    EXPECT_EQ(h2.client->error(), "tlsv1 alert no application protocol");
    EXPECT_EQ(h2.server_result.error(), TlsErrc::no_protocol);
    EXPECT_EQ(h2.server->error_text(), "no application protocol");
    const TlsServer ignorant = make_tls_server({.certificates = {{files.site_file}}, .alpn = {}});
    TlsPair ignored = shake_hands(ignorant, {.alpn = kH2});
    ASSERT_TRUE(ignored.client_ok);
    EXPECT_EQ(ignored.server->alpn(), "");
    const TlsServer prefers =
        make_tls_server({.certificates = {{files.site_file}}, .alpn = {"h2", "http/1.1"}});
    TlsPair preferred = shake_hands(prefers, {.alpn = kHttp11 + kH2});
    EXPECT_EQ(preferred.server->alpn(), "h2");
  });
}

TEST(TlsServerClients, AreVerifiedWhenAskedFor) {
  test::run([] {
    const TlsFiles files;
    const Issued stranger_ca = issue({.common_name = "Stranger", .authority = true, .key = 5});
    const Issued alice = issue({.common_name = "alice", .key = 3}, &files.ca);
    const Issued old =
        issue({.common_name = "old", .not_before = -9, .not_after = -5, .key = 3}, &files.ca);
    const Issued mallory = issue({.common_name = "mallory", .key = 4}, &stranger_ca);
    const auto options = [&](ClientAuth auth) {
      return TlsServerOptions{.certificates = {{files.site_file}},
                              .client_auth = auth,
                              .client_ca_file = files.ca_file};
    };
    const TlsServer none = make_tls_server({.certificates = {{files.site_file}}});
    const TlsServer request = make_tls_server(options(ClientAuth::request));
    const TlsServer require = make_tls_server(options(ClientAuth::require));
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      PeerOptions as{.min_version = version, .max_version = version};
      TlsPair pair = shake_hands(request, as);
      ASSERT_TRUE(pair.server_result);
      EXPECT_EQ(pair.server->peer_subject(), "");
      pair = shake_hands(require, as);
      EXPECT_EQ(pair.server_result.error(), TlsErrc::certificate);
      EXPECT_EQ(pair.server->error_text(), "peer did not return a certificate");

      as.certificate = &alice;
      pair = shake_hands(none, as);
      ASSERT_TRUE(pair.server_result);
      EXPECT_EQ(pair.server->peer_subject(), "");
      for (const TlsServer& server : {request, require}) {
        pair = shake_hands(server, as);
        ASSERT_TRUE(pair.server_result) << pair.server->error_text();
        EXPECT_EQ(pair.server->peer_subject(), "CN=alice");
        EXPECT_EQ(pair.server->peer_certificate(), alice.pem());
        for (const Issued* bad : {&mallory, &old}) {
          PeerOptions wrong = as;
          wrong.certificate = bad;
          pair = shake_hands(server, wrong);
          EXPECT_EQ(pair.server_result.error(), TlsErrc::certificate);
          EXPECT_EQ(pair.server->error_text(),
                    bad == &old ? "certificate verify failed: certificate has expired"
                                : "certificate verify failed: unable to get local issuer "
                                  "certificate");
        }
      }
    }
  });
}

TEST(TlsServerClients, WhoRefuseOursAreHeard) {
  test::run([] {
    const TlsFiles files;
    const Issued other_ca = issue({.common_name = "Other", .authority = true, .key = 6});
    files.tree.write("other.pem", other_ca.pem());
    const TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    TlsPair pair = shake_hands(server, {.ca_file = files.path("other.pem")});
    EXPECT_FALSE(pair.client_ok);
    EXPECT_EQ(pair.server_result.error(), TlsErrc::alert);
    EXPECT_EQ(pair.server->error_text(), "tlsv1 alert unknown ca");
  });
}

TEST(TlsServerOcsp, ResponseIsStapledWhileItIsGood) {
  test::run([] {
    const TlsFiles files;
    const auto stapled = [&](const TlsServer& server) -> std::string {
      TlsPair pair = shake_hands(server, {.ask_for_ocsp = true});
      EXPECT_TRUE(pair.client_ok) << pair.client->error();
      const unsigned char* response = nullptr;
      const long size = SSL_get_tlsext_status_ocsp_resp(pair.client->ssl(), &response);
      return size <= 0 ? std::string()
                       : std::string(reinterpret_cast<const char*>(response),
                                     static_cast<std::size_t>(size));
    };
    const std::string good = test::ocsp_response(files.site, files.ca);
    files.tree.write("ocsp", good);
    TlsServer server =
        make_tls_server({.certificates = {{files.site_file, "", files.path("ocsp")}}});
    EXPECT_EQ(stapled(server), good);
    EXPECT_TRUE(shake_hands(server).client_ok) << "who does not ask gets none";

    const std::string newer = test::ocsp_response(files.site, files.ca, {.next_update = 7200});
    files.tree.write("ocsp", newer);
    EXPECT_EQ(stapled(server), good);
    ASSERT_TRUE(server.reload());
    EXPECT_EQ(stapled(server), newer);

    files.tree.write("ocsp", test::ocsp_response(files.site, files.ca, {.next_update = -60}));
    ASSERT_TRUE(server.reload());
    EXPECT_EQ(stapled(server), "") << "out of date";
    const std::string endless = test::ocsp_response(files.site, files.ca, {.next_update = 0});
    files.tree.write("ocsp", endless);
    ASSERT_TRUE(server.reload());
    EXPECT_EQ(stapled(server), endless);
    EXPECT_EQ(stapled(make_tls_server({.certificates = {{files.site_file}}})), "");
  });
}

TEST(TlsServerReload, TakesTheNewFilesOrKeepsTheOldOnes) {
  test::run([] {
    const TlsFiles files;
    const auto put = [&](const std::string& cn) {
      (void)files.write("live", issue({.names = {"a.example"}, .common_name = cn}, &files.ca));
    };
    put("one");
    TlsServer server = make_tls_server({.certificates = {{files.path("live.pem")}}});
    const TlsServer copy = server;
    TlsPair before = shake_hands(server);
    EXPECT_EQ(before.client->subject(), "one");
    put("two");
    EXPECT_EQ(shake_hands(server).client->subject(), "one");
    ASSERT_TRUE(server.reload());
    EXPECT_EQ(shake_hands(server).client->subject(), "two");
    EXPECT_EQ(shake_hands(copy).client->subject(), "two") << "all copies see it";
    ASSERT_TRUE(before.server->write_all("old ones go on"));
    EXPECT_EQ(before.client->read_exactly(14), "old ones go on");

    files.tree.write("live.pem", "rubbish");
    const auto failed = server.reload();
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error(), files.path("live.pem") + ": no certificate in it");
    EXPECT_EQ(shake_hands(server).client->subject(), "two");
    EXPECT_FALSE(server.reload({}));
    EXPECT_EQ(shake_hands(server).client->subject(), "two");
    ASSERT_TRUE(server.reload({.certificates = {{files.site_file}}}));
    EXPECT_EQ(shake_hands(server).client->subject(), "a.example");
  });
}

TEST(TlsServerReload, UnderLoadBreaksNoHandshake) {
  test::run([] {
    const TlsFiles files;
    TlsServer server = make_tls_server({.certificates = {{files.site_file}}});
    std::atomic<bool> done{false};
    Task reloader([&] {
      while (!done.load()) {
        EXPECT_TRUE(server.reload());
        gosched();
      }
    });
    std::vector<std::unique_ptr<Task>> clients;
    clients.reserve(4);
    for (int i = 0; i < 4; ++i)
      clients.push_back(std::make_unique<Task>([&] {
        for (int k = 0; k < 30; ++k) {
          TlsPair pair = shake_hands(server, {.ca_file = files.ca_file});
          ASSERT_TRUE(pair.client_ok) << pair.client->error();
          ASSERT_TRUE(pair.server->write_all("x"));
          EXPECT_EQ(pair.client->read_exactly(1), "x");
        }
      }));
    for (auto& client : clients) client->join();
    done.store(true);
  });
}

}  // namespace
}  // namespace treadle::net
