// beast: Boost.Beast as a peer: one io_context, one thread and one listener (SO_REUSEPORT) per
// worker.
//
//   beast --port N [--workers N] [--root DIR] [--cert PEM --key PEM]
#include <sys/socket.h>

#include <boost/asio/signal_set.hpp>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>
#include <vector>

#include "../../load/flags.h"
#include "session.h"

namespace {

using namespace peer;

struct Flags {
  int port = 0;
  int workers = 1;
  std::string root{};
  std::string cert{};
  std::string key{};
};

Flags parse(int argc, char** argv) {
  load::Flags given(argc, argv,
                    "usage: beast --port N [--workers N] [--root DIR] [--cert PEM --key PEM]\n");
  Flags flags;
  flags.port = static_cast<int>(given.integer("port", 0, 1, 65535));
  flags.workers = static_cast<int>(given.integer("workers", flags.workers, 1, 256));
  flags.root = given.text("root", "");
  flags.cert = given.text("cert", "");
  flags.key = given.text("key", "");
  given.done();
  if (flags.port == 0) given.refuse("--port is missing");
  if (flags.cert.empty() != flags.key.empty()) given.refuse("--cert and --key go together");
  return flags;
}

asio::ssl::context make_tls(const Flags& flags) {
  asio::ssl::context tls(asio::ssl::context::tls_server);
  tls.set_options(asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1);
  tls.use_certificate_chain_file(flags.cert);
  tls.use_private_key_file(flags.key, asio::ssl::context::pem);
  // As by all peers: AES-128-GCM before the rest, whatever the client likes best.
  SSL_CTX_set_ciphersuites(tls.native_handle(), "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384");
  SSL_CTX_set_cipher_list(tls.native_handle(), "ECDHE+AES128+AESGCM:ECDHE+AESGCM");
  SSL_CTX_set_options(tls.native_handle(), SSL_OP_CIPHER_SERVER_PREFERENCE);
  static const unsigned char name[] = "beast";
  SSL_CTX_set_session_id_context(tls.native_handle(), name, sizeof name - 1);
  return tls;
}

class Worker {
 public:
  Worker(const Flags& flags, asio::ssl::context* tls)
      : flags_(flags), tls_(tls), acceptor_(context_) {
    using reuse_port = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;
    const tcp::endpoint endpoint(asio::ip::address_v4::loopback(),
                                 static_cast<unsigned short>(flags.port));
    acceptor_.open(endpoint.protocol());
    acceptor_.set_option(tcp::acceptor::reuse_address(true));
    acceptor_.set_option(reuse_port(true));
    acceptor_.bind(endpoint);
    acceptor_.listen(4096);
  }

  void run() {
    accept();
    context_.run();
  }
  asio::io_context& context() { return context_; }

 private:
  using Socket = asio::basic_stream_socket<tcp, asio::io_context::executor_type>;

  void accept() {
    acceptor_.async_accept(context_, [this](beast::error_code error, Socket socket) {
      if (error) {
        std::fprintf(stderr, "beast: accept: %s\n", error.message().c_str());
        if (error == asio::error::no_descriptors) std::_Exit(1);  // it would be tried for ever
      } else {
        socket.set_option(tcp::no_delay(true), error);
        if (tls_ != nullptr)
          std::make_shared<Session<TlsStream>>(flags_.root, TcpStream(std::move(socket)), *tls_)
              ->start();
        else
          std::make_shared<Session<TcpStream>>(flags_.root, std::move(socket))->start();
      }
      accept();
    });
  }

  const Flags& flags_;
  asio::ssl::context* tls_;
  asio::io_context context_{1};
  asio::basic_socket_acceptor<tcp, asio::io_context::executor_type> acceptor_;
};

void serve(const Flags& flags) {
  std::optional<asio::ssl::context> tls;
  if (!flags.cert.empty()) tls.emplace(make_tls(flags));
  std::vector<std::unique_ptr<Worker>> workers;
  for (int i = 0; i < flags.workers; ++i)
    workers.push_back(std::make_unique<Worker>(flags, tls ? &*tls : nullptr));
  asio::signal_set stop(workers.front()->context(), SIGTERM, SIGINT);
  stop.async_wait([](beast::error_code, int) { std::_Exit(0); });
  std::vector<std::jthread> threads;
  for (std::size_t i = 1; i < workers.size(); ++i)
    threads.emplace_back([&worker = *workers[i]] { worker.run(); });
  workers.front()->run();
}

}  // namespace

int main(int argc, char** argv) {
  const Flags flags = parse(argc, argv);
  load::raise_descriptor_limit();
  try {
    serve(flags);
  } catch (const std::exception& error) {
    load::die(error.what());
  }
}
