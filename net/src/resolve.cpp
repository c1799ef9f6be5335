// Names to addresses, by the system's resolver.
#include "resolve.h"

#include <netdb.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include <treadle/blocking.h>
#include <treadle/chan.h>
#include <treadle/go.h>

namespace treadle::net {
namespace {

using Addresses = std::vector<SocketAddress>;

std::error_code resolver_error(int code, int error_number) {
  switch (code) {
    case EAI_SYSTEM: return {error_number, std::system_category()};
    case EAI_AGAIN: return {EAGAIN, std::system_category()};
    case EAI_MEMORY: return {ENOMEM, std::system_category()};
    default: return Errc::not_found;
  }
}

// Blocks its thread for as long as the system's resolver takes. Out of line for errno's sake, see
// sys.h.
[[gnu::noinline]] Result<Addresses> look_up(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int code = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
  const int error_number = errno;
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(list, ::freeaddrinfo);
  if (code != 0) return fail(resolver_error(code, error_number));
  Addresses found;
  for (const addrinfo* a = list; a != nullptr; a = a->ai_next) {
    const auto address = SocketAddress::from_native(a->ai_addr, a->ai_addrlen);
    if (std::find(found.begin(), found.end(), address) == found.end()) found.push_back(address);
  }
  if (found.empty()) return fail(Errc::not_found);
  return found;
}

}  // namespace

Result<Addresses> resolve(const std::string& host, std::uint16_t port) {
  const Context ctx = current_context();
  if (auto ended = ctx.error()) return fail(ended);
  if (ctx == background()) return blocking_long([&] { return look_up(host, port); });

  // Another goroutine waits for the resolver, so that we can stop waiting when the Context ends.
  // One element of buffer: it never waits for us.
  const auto answer = make_chan<Result<Addresses>>(1);
  go([answer, host, port] { answer.send(blocking_long([&] { return look_up(host, port); })); });
  auto found = answer.recv(ctx);
  if (!found) return fail(found.error());
  return std::move(**found);
}

}  // namespace treadle::net
