// TLS as settings.
#pragma once

#include <optional>

#include <treadle/net/tls.h>

#include "settings.h"

namespace treadle::apps {

// Adds the keys of [tls]. `tls` is set when there is a certificate, the one of tls.cert and tls.key
// first, then those of [[tls.certificate]].
void add_tls(Settings& settings, std::optional<net::TlsServerOptions>& tls);

}  // namespace treadle::apps
