// RequestCopy: what a client asked for, for whoever goes on with it after the handler.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <treadle/http/header.h>
#include <treadle/net/addr.h>

namespace treadle::http {

class Request;

// A Request without its body, its Context and its connection. Copies share one immutable object,
// so they are cheap, and any number of goroutines and threads may use them. Views live as long as
// one of the copies.
//
//   jobs.send([req = http::clone(req)] { index(req.path_value("id")); });
//
// Each function says what Request's of the same name does.
class RequestCopy {
 public:
  std::string_view method() const noexcept;
  std::string_view target() const noexcept;
  std::string_view raw_path() const noexcept;
  std::string_view path() const noexcept;
  std::string_view raw_query() const noexcept;
  std::optional<std::string> query(std::string_view name) const;
  int minor_version() const noexcept;

  std::string_view host() const noexcept;
  std::string_view header(std::string_view name) const noexcept;
  HeaderView headers() const noexcept;
  std::string_view path_value(std::string_view name) const noexcept;

  net::SocketAddress remote_address() const noexcept;

 private:
  friend RequestCopy clone(const Request& req);
  struct Data;
  explicit RequestCopy(std::shared_ptr<const Data> data) noexcept;

  std::shared_ptr<const Data> data_;
};

// Copies what `req` says. Call it while the handler runs, on its goroutine. Never parks.
RequestCopy clone(const Request& req);

}  // namespace treadle::http
