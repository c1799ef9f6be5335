#include "json_builder.h"

#include <utility>

namespace treadle::http::detail {

bool JsonBuilder::refuse(Errc code, const char* reason) noexcept {
  error_.code = code;
  error_.reason = reason;
  return false;
}

// Puts a value where the next one goes; null when that is one too many.
nlohmann::json* JsonBuilder::place(nlohmann::json value) {
  if (++values_ > options_.values) {
    refuse(Errc::json_too_large, "too many values");
    return nullptr;
  }
  nlohmann::json* at = &root_;
  if (!open_.empty() && open_.back()->is_array()) {
    auto& array = open_.back()->get_ref<nlohmann::json::array_t&>();
    array.push_back(std::move(value));
    return &array.back();
  }
  if (!open_.empty()) at = member_;
  *at = std::move(value);
  return at;
}

bool JsonBuilder::open(nlohmann::json::value_t kind) {
  if (open_.size() == options_.depth) return refuse(Errc::json_too_deep, "nested too deep");
  nlohmann::json* at = place(nlohmann::json(kind));
  if (at == nullptr) return false;
  open_.push_back(at);
  return true;
}

bool JsonBuilder::close() noexcept {
  open_.pop_back();
  return true;
}

bool JsonBuilder::key(string_t& name) {
  auto& object = open_.back()->get_ref<nlohmann::json::object_t&>();
  const auto [at, fresh] = object.try_emplace(std::move(name));
  if (!fresh) return refuse(Errc::malformed_json, "a name comes twice in an object");
  member_ = &at->second;
  return true;
}

// The library's own text quotes what the client sent, as long as it may be.
bool JsonBuilder::parse_error(std::size_t, const std::string&,
                              const nlohmann::detail::exception& error) {
  constexpr int kNumberOutOfRange = 406;
  return refuse(Errc::malformed_json, error.id == kNumberOutOfRange
                                          ? "a number beyond the range of a double"
                                          : "not the grammar of JSON, or not UTF-8");
}

}  // namespace treadle::http::detail
