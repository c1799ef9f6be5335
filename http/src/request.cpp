#include <treadle/http/request.h>

#include <treadle/http/deadline.h>
#include <treadle/http/error.h>

#include <algorithm>
#include <string>

#include "request_id.h"
#include "request_state.h"

namespace treadle::http {

namespace detail {

void RequestState::clear() noexcept {
  head.clear();
  match.clear();
  pattern = {};
  body = nullptr;
  host = nullptr;
  context = {};
  client = peer = nullptr;
  secure = false;
  tls = nullptr;
  request_id.clear();
  user.clear();
  limits = nullptr;
  unusable = {};
}

const std::string& RequestState::id() {
  if (request_id.empty())
    choose_request_id(request_id,
                      trusted ? HeaderView(head.headers).get("X-Request-Id") : std::string_view());
  return request_id;
}

}  // namespace detail

std::string_view Request::method() const noexcept { return state_->head.method; }
std::string_view Request::target() const noexcept { return state_->head.target; }
std::string_view Request::raw_path() const noexcept { return state_->head.path; }
std::string_view Request::path() const noexcept { return state_->path.text(); }
std::string_view Request::raw_query() const noexcept { return state_->head.query; }
std::optional<std::string> Request::query(std::string_view name) const {
  return query_value(state_->head.query, name);
}
int Request::minor_version() const noexcept { return state_->head.minor_version; }

std::string_view Request::host() const noexcept { return state_->head.host; }
std::string_view Request::header(std::string_view name) const noexcept {
  return headers().get(name);
}
HeaderView Request::headers() const noexcept { return HeaderView(state_->head.headers); }
std::string_view Request::path_value(std::string_view name) const noexcept {
  return state_->match.value(name);
}

Body& Request::body() const noexcept { return *state_->body; }
std::optional<std::uint64_t> Request::content_length() const noexcept {
  return state_->body->content_length();
}

net::SocketAddress Request::remote_address() const { return *state_->client; }
net::SocketAddress Request::peer_address() const { return *state_->peer; }
std::string_view Request::id() const { return state_->id(); }
bool Request::secure() const noexcept { return state_->secure; }
const net::TlsConn* Request::tls() const noexcept { return state_->tls; }
Context Request::context() const {
  return state_->context != nullptr ? *state_->context : background();
}

DeadlineScope::DeadlineScope(const Request& req, Duration d)
    : req_(req), before_(req.state().host->handler_deadline()) {
  req.state().host->set_handler_deadline(d == Duration::zero() ? Deadline::never()
                                                               : Deadline::after(d));
}

DeadlineScope::~DeadlineScope() { req_.state().host->set_handler_deadline(before_); }

// Grows with what really comes, not with what the client announces.
Result<std::string> Body::read_all(std::size_t limit) {
  constexpr std::size_t kFirst = 16 * 1024;
  if (content_length().value_or(0) > limit) return stick(Errc::body_too_large);
  std::string all;
  std::size_t size = 0;
  for (;;) {
    if (size == all.size()) {
      const auto known = static_cast<std::size_t>(content_length().value_or(0));
      all.resize(size == 0 ? std::clamp<std::size_t>(known, 1, kFirst) : size * 2);
    }
    Result<std::size_t> n = read(std::as_writable_bytes(std::span(all)).subspan(size));
    if (!n) return fail(n.error());
    if (*n == 0) break;
    size += *n;
    if (size > limit) return stick(Errc::body_too_large);
  }
  all.resize(size);
  return all;
}

}  // namespace treadle::http
