// Which content coding to answer with (RFC 9110 12.5.3). Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace treadle::http {

enum class Coding : std::uint8_t { identity, br, zstd, gzip };

// As it stands in Content-Encoding; empty for identity.
std::string_view coding_name(Coding coding) noexcept;

// The coding of that name, case ignored; "x-gzip" is gzip (RFC 9110 8.4.1.3).
std::optional<Coding> coding_by_name(std::string_view name) noexcept;

namespace accept_encoding {

struct Choice {
  Coding coding = Coding::identity;
  // `identity;q=0`, or `*;q=0` without a word on identity: an answer that is not coded is not
  // wanted, however little coding is worth.
  bool identity_refused = false;
};

// The coding of `available`, or identity, that `accept` likes best. `accept` is the value of
// Accept-Encoding, several fields joined by commas; empty where there is none. Among those of equal
// weight the earliest of `available` wins, and identity comes last. What cannot be read is passed
// over. Identity is the answer too where the client refuses all there is: it can do more with bytes
// it did not ask for than with a 406.
Coding choose(std::string_view accept, std::span<const Coding> available) noexcept;
// The same, and whether identity was refused.
Choice negotiate(std::string_view accept, std::span<const Coding> available) noexcept;

}  // namespace accept_encoding
}  // namespace treadle::http
