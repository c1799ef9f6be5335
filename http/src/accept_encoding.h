// Which content coding to answer with (RFC 9110 12.5.3). Pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace treadle::http {

enum class Coding : std::uint8_t { identity, br, zstd, gzip };

// As it stands in Content-Encoding; empty for identity.
std::string_view coding_name(Coding coding) noexcept;

namespace accept_encoding {

// The coding of `available`, or identity, that `accept` likes best. `accept` is the value of
// Accept-Encoding, several fields joined by commas; empty where there is none. Among those of equal
// weight the earliest of `available` wins, and identity comes last. What cannot be read is passed
// over. Identity is the answer too where the client refuses all there is: it can do more with bytes
// it did not ask for than with a 406.
Coding choose(std::string_view accept, std::span<const Coding> available) noexcept;

}  // namespace accept_encoding
}  // namespace treadle::http
