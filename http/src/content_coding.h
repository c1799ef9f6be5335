// Content codings of bodies that are made on the way: which one, and for what. Pure.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include <treadle/http/header.h>

#include "accept_encoding.h"

namespace treadle::http {

// Those that change something, the one that is worth most first.
inline constexpr std::array kCodings{Coding::br, Coding::zstd, Coding::gzip};

using CodingChoice = accept_encoding::Choice;

// accept_encoding::negotiate() of all Accept-Encoding fields together.
CodingChoice choose_coding(const HeaderView& headers, std::span<const Coding> ours);

// Whether bodies of a media type become much smaller; its parameters do not matter.
bool is_compressible(std::string_view media_type) noexcept;

}  // namespace treadle::http
