#include <treadle/http/request_id.h>

#include <treadle/http/header.h>
#include <treadle/http/request.h>
#include <treadle/http/response.h>
#include <treadle/result.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "../chars.h"
#include "../hash_key.h"
#include "../request_id.h"
#include "../request_state.h"

namespace treadle::http {
namespace detail {
namespace {

void append_hex(std::string& out, std::uint64_t word) {
  for (int shift = 60; shift >= 0; shift -= 4)
    out.push_back("0123456789abcdef"[word >> shift & 15]);
}

// splitmix64's finaliser: a bijection, so that numbers that differ stay different.
std::uint64_t scatter(std::uint64_t x) noexcept {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

}  // namespace

bool is_request_id(std::string_view text) noexcept {
  constexpr std::size_t kLongest = 128;
  return !text.empty() && text.size() <= kLongest && std::ranges::all_of(text, [](char c) {
    return chars::is_alpha(c) || chars::is_digit(c) || c == '.' || c == '_' || c == '-';
  });
}

void make_request_id(std::string& out) {
  static const HashKey process = HashKey::random();
  static std::atomic<std::uint64_t> count{0};
  out.clear();
  append_hex(out, process.k0);
  append_hex(out, scatter(process.k1 + count.fetch_add(1, std::memory_order_relaxed)));
}

}  // namespace detail

Middleware request_id(RequestIdOptions options) {
  if (!is_token(options.header))
    throw Panic("treadle::http: request_id: invalid header name \"" + options.header + "\"");
  return [options = std::move(options)](Handler next) -> Handler {
    return [options, next = std::move(next)](Response& res, const Request& req) {
      std::string& id = req.state().request_id;
      if (id.empty()) {
        const std::string_view given = req.header(options.header);
        if (detail::is_request_id(given) && options.trusted && options.trusted(req))
          id = given;
        else
          detail::make_request_id(id);
      }
      res.keep_header(options.header, id);
      next(res, req);
    };
  };
}

std::string_view request_id(const Request& req) noexcept { return req.state().request_id; }

}  // namespace treadle::http
