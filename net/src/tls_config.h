// What TlsServer and TlsClient share with their connections: loaded once, never changed.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <treadle/net/tls.h>

#include "tls_certificate.h"
#include "tls_openssl.h"
#include "tls_tickets.h"

namespace treadle::net::tls {

// A digest of whom a session belongs to: the name that the client asked for, and what was demanded
// of it. A session of another scope is not resumed; there is a full handshake instead.
using SessionScope = std::array<unsigned char, 32>;

// What a client gets for the name it asks for.
struct Site {
  SSL_CTX* context = nullptr;
  SessionScope scope{};
};

// A server's. Its address is known to OpenSSL's callbacks, so it does not move; a connection holds
// on to the one it began with.
struct ServerConfig {
  std::vector<Certificate> certificates;
  // One for each set of certificates that serve a name together; the first is for clients that name
  // none of the names.
  std::vector<ContextPtr> contexts;
  // Names to contexts; a wildcard is under what follows its "*.". The keys are the operator's:
  // clients cannot make them collide.
  std::unordered_map<std::string, Site> exact;
  std::unordered_map<std::string, SSL_CTX*> wildcard;
  Site nameless;  // for clients that ask for no name
  std::vector<std::string> alpn;
  // A digest of what is demanded of clients. Sessions belong to it: one that was made under other
  // demands is not resumed.
  std::array<unsigned char, 32> demands{};
  std::shared_ptr<TicketKeys> tickets;

  ServerConfig() = default;
  ServerConfig(const ServerConfig&) = delete;
  ServerConfig& operator=(const ServerConfig&) = delete;

  // For a normal_name(), or for none.
  Site site_for(const std::string& host) const;

  static Loaded<std::shared_ptr<const ServerConfig>> load(const TlsServerOptions& options,
                                                          std::shared_ptr<TicketKeys> tickets);
};

struct ClientConfig {
  ContextPtr context;
  std::string server_name;
  bool verify = true;
};

// A context with what servers and clients have in common. `method` is TLS_server_method() or
// TLS_client_method().
Loaded<ContextPtr> make_context(const SSL_METHOD* method);

// A list of ALPN names as it goes over the wire; the error says which name cannot be sent.
Loaded<std::string> alpn_to_wire(const std::vector<std::string>& names);
// The first of ours that the client has, too; empty when there is none. `offered` is as on the
// wire; the view is into it.
std::string_view choose_alpn(const std::vector<std::string>& ours, std::string_view offered);

// Sets what SSL objects of this configuration call back. In tls_callbacks.cpp.
void set_callbacks(SSL_CTX* context, const ServerConfig& config);

}  // namespace treadle::net::tls
