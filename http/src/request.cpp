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
  if (head.memo == 0) head.clear();
  routed_ = false;
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

const RouteMatch& RequestState::unrouted() noexcept {
  static const RouteMatch none;
  return none;
}

DecodedPath::Status RequestState::take_path() {
  if (head.memo != 0 && head.memo == path_of_) return DecodedPath::Status::clean;
  path_of_ = 0;
  match_of_ = 0;  // its values may point into what is overwritten
  const DecodedPath::Status status = path.assign(head.path);
  if (status == DecodedPath::Status::clean) path_of_ = head.memo;
  return status;
}

// A route depends on the head alone: on its method, its host and its path.
RoutedHandler RequestState::take_route(const Router& router) {
  const std::uint64_t version = router.state().version;
  routed_ = true;
  if (match_of_ != 0 && match_of_ == head.memo && match_from_ == version) return to_;
  match_of_ = 0;  // should memory run out
  to_ = http::route(router, head.method, head.host, path, match_);
  match_from_ = version;
  // Not where somebody has given the request another path.
  if (path_of_ == head.memo) match_of_ = head.memo;
  return to_;
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
  return state_->match().value(name);
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

// Grows with what really comes, not with what the client announces. One byte more than that finds
// out that it ends there.
Result<std::string> Body::read_all(std::size_t limit) {
  constexpr std::size_t kFirst = 16 * 1024;
  constexpr std::size_t kUnknown = 512;
  const std::optional<std::uint64_t> length = content_length();
  if (length.value_or(0) > limit) return stick(Errc::body_too_large);
  const std::size_t enough = length ? static_cast<std::size_t>(*length) + 1 : kUnknown;
  std::string all;
  std::size_t size = 0;
  for (;;) {
    if (size == all.size()) {
      const std::size_t next = size == 0 ? kFirst : size * 2;
      all.resize(size < enough ? std::min(next, enough) : next);
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
