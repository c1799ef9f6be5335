#include <treadle/http/middleware.h>
#include <treadle/result.h>

#include <ranges>
#include <utility>

namespace treadle::http {

Middleware chain(std::vector<Middleware> all) {
  for (const Middleware& one : all) {
    if (!one) throw Panic("treadle::http: chain of an empty middleware");
  }
  return [all = std::move(all)](Handler handler) {
    for (const Middleware& one : all | std::views::reverse) handler = one(std::move(handler));
    return handler;
  };
}

}  // namespace treadle::http
