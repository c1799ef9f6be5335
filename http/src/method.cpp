// The table of methods, taken from llhttp, so that what we accept and what it accepts agree.
#include "method.h"

#include <llhttp.h>

#include <algorithm>

namespace treadle::http {
namespace {

#define TREADLE_METHOD_NAME(number, name, text) #text,
constexpr std::string_view kMethods[] = {HTTP_METHOD_MAP(TREADLE_METHOD_NAME)};
#undef TREADLE_METHOD_NAME

constexpr bool fits(std::string_view method) { return method.size() <= kLongestMethod; }
static_assert(std::all_of(std::begin(kMethods), std::end(kMethods), fits));

}  // namespace

std::string_view known_method(std::string_view text) noexcept {
  if (text == "GET") return "GET";  // nearly all there is
  if (text == "CONNECT" || text == "PRI") return {};
  const auto* found = std::find(std::begin(kMethods), std::end(kMethods), text);
  return found == std::end(kMethods) ? std::string_view{} : *found;
}

}  // namespace treadle::http
