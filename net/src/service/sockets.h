// The sockets of a service: inherited or bound.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include <treadle/net/listen_socket.h>
#include <treadle/net/service.h>

#include "service/inherited.h"
#include "sys.h"

namespace treadle::net::service {

struct ServiceSockets {
  std::vector<ListenSocket> sockets;  // one for each place
  // Whose file a predecessor hands down, too. It becomes ours only once we serve: if we fail it is
  // still his.
  std::vector<bool> with_file;
  sys::UniqueFd ready{-1};  // to the predecessor; below 0: there is none
};

// What the environment says was handed down to us; the first time only, since the descriptors are
// somebody's from then on. The variables go, where no other thread can be reading them. The error
// is a clause.
std::expected<Inheritance, std::string> take_inheritance();

// A socket for each place. The error is a clause, and names the address.
std::expected<ServiceSockets, std::string> open_sockets(const std::vector<ServicePlace>& places,
                                                        const ListenOptions& options,
                                                        const Inheritance& inherited);

}  // namespace treadle::net::service
