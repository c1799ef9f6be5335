// Builds a nlohmann::json from the events of its parser, within limits.
#pragma once

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <treadle/http/error.h>
#include <treadle/http/json.h>

namespace treadle::http::detail {

// nlohmann's own builder has no limits and throws. Each function here returns false to end the
// parse, which leaves the reason in error(). The parser keeps its nesting in a vector and so do we:
// nothing recurses, whatever the text.
class JsonBuilder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit JsonBuilder(const JsonOptions& options) noexcept : options_(options) {}

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }  // no JSON text has one
  bool start_object(std::size_t) override { return open(nlohmann::json::value_t::object); }
  bool start_array(std::size_t) override { return open(nlohmann::json::value_t::array); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override;
  bool parse_error(std::size_t position, const std::string& last_token,
                   const nlohmann::detail::exception& error) override;

  nlohmann::json& root() noexcept { return root_; }
  const JsonError& error() const noexcept { return error_; }

 private:
  template <class T>
  bool add(T&& value) {
    return place(nlohmann::json(std::forward<T>(value))) != nullptr;
  }
  bool open(nlohmann::json::value_t kind);
  bool close() noexcept;
  nlohmann::json* place(nlohmann::json value);
  bool refuse(Errc code, const char* reason) noexcept;

  const JsonOptions& options_;
  nlohmann::json root_;
  std::vector<nlohmann::json*> open_;  // arrays and objects not yet closed; they do not move
  nlohmann::json* member_ = nullptr;   // where the value of the name just read goes
  std::size_t values_ = 0;
  JsonError error_;
};

}  // namespace treadle::http::detail
