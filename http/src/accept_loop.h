// Taking connections from a listener.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "server_state.h"

namespace treadle::http::detail {

// Accepts until the accept context ends, then takes what has come already, since closing a listener
// resets the connections in its backlog; closes the listener. Errors: those of accept.
// Parks; one goroutine for each listener.
Result<void> accept_connections(const std::shared_ptr<ServerState>& s, Listening& from);

// How many connections `options` allow where `descriptors` may be open: each needs one, and one for
// the file it sends; some are kept for everything else.
std::size_t connection_limit(const ServerOptions& options, std::uint64_t descriptors) noexcept;

}  // namespace treadle::http::detail
