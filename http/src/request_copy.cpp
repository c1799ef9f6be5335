#include <treadle/http/request_copy.h>

#include <treadle/http/request.h>

#include <utility>
#include <vector>

#include "request_state.h"
#include "url.h"

namespace treadle::http {

// All text stands in one string, which is made as large as it gets before the first view into it.
struct RequestCopy::Data {
  std::string text;
  std::string_view method, target, raw_path, path, raw_query, host;
  std::vector<HeaderField> headers;
  std::vector<std::pair<std::string_view, std::string_view>> path_values;
  int minor_version = 1;
  net::SocketAddress remote;

  std::string_view keep(std::string_view piece) {
    const std::size_t begin = text.size();
    text.append(piece);
    return std::string_view(text).substr(begin);
  }
};

RequestCopy clone(const Request& req) {
  const auto& values = req.state().match().values;
  std::size_t size = req.method().size() + req.target().size() + req.raw_path().size() +
                     req.path().size() + req.raw_query().size() + req.host().size();
  for (const HeaderField& f : req.headers()) size += f.name.size() + f.value.size();
  for (const PathValue& v : values) size += v.name.size() + v.value.size();

  auto data = std::make_shared<RequestCopy::Data>();
  data->text.reserve(size);
  data->method = data->keep(req.method());
  data->target = data->keep(req.target());
  data->raw_path = data->keep(req.raw_path());
  data->path = data->keep(req.path());
  data->raw_query = data->keep(req.raw_query());
  data->host = data->keep(req.host());
  data->headers.reserve(req.headers().size());
  for (const HeaderField& f : req.headers()) {
    const std::string_view name = data->keep(f.name);
    data->headers.push_back({name, data->keep(f.value)});
  }
  for (const PathValue& v : values) {
    const std::string_view name = data->keep(v.name);
    data->path_values.emplace_back(name, data->keep(v.value));
  }
  data->minor_version = req.minor_version();
  data->remote = req.remote_address();
  return RequestCopy(std::move(data));
}

RequestCopy::RequestCopy(std::shared_ptr<const Data> data) noexcept : data_(std::move(data)) {}

std::string_view RequestCopy::method() const noexcept { return data_->method; }
std::string_view RequestCopy::target() const noexcept { return data_->target; }
std::string_view RequestCopy::raw_path() const noexcept { return data_->raw_path; }
std::string_view RequestCopy::path() const noexcept { return data_->path; }
std::string_view RequestCopy::raw_query() const noexcept { return data_->raw_query; }
std::optional<std::string> RequestCopy::query(std::string_view name) const {
  return query_value(data_->raw_query, name);
}
int RequestCopy::minor_version() const noexcept { return data_->minor_version; }
std::string_view RequestCopy::host() const noexcept { return data_->host; }
std::string_view RequestCopy::header(std::string_view name) const noexcept {
  return headers().get(name);
}
HeaderView RequestCopy::headers() const noexcept { return HeaderView(data_->headers); }
std::string_view RequestCopy::path_value(std::string_view name) const noexcept {
  for (const auto& [known, value] : data_->path_values) {
    if (known == name) return value;
  }
  return {};
}
net::SocketAddress RequestCopy::remote_address() const noexcept { return data_->remote; }

}  // namespace treadle::http
