// Content codings: which there are, which a client wants, and what they are worth it for. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <treadle/http/header.h>

namespace treadle::http {

enum class Coding : std::uint8_t { identity, gzip, br, zstd };

// Those that change something.
inline constexpr std::array kCodings{Coding::br, Coding::zstd, Coding::gzip};

// The coding's registered name: "gzip".
std::string_view coding_name(Coding coding) noexcept;
// The coding of that name, case ignored; "x-gzip" is gzip (RFC 9110 8.4.1.3).
std::optional<Coding> coding_by_name(std::string_view name) noexcept;

// What Accept-Encoding (RFC 9110 12.5.3) leads to.
struct CodingChoice {
  Coding coding = Coding::identity;
  // `identity;q=0`, or `*;q=0` without a word on identity: an answer that is not coded is not
  // wanted, however little coding is worth.
  bool identity_refused = false;
};

// The coding of `ours` with the highest weight, the first in `ours` of those that are equal;
// identity when none is wanted, when the client prefers that, and when it says nothing. Members
// that are malformed count as not there.
CodingChoice choose_coding(const HeaderView& headers, std::span<const Coding> ours) noexcept;

// Whether bodies of a media type become much smaller; its parameters do not matter.
bool is_compressible(std::string_view media_type) noexcept;

}  // namespace treadle::http
