#include "rules.h"

#include <treadle/http/header.h>

#include <string>
#include <string_view>
#include <utility>

namespace treadle::apps {
namespace {

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

// Both kinds of rule are a pair of strings in this order.
template <class Rule>
Parsed<std::vector<Rule>> parse_rules(std::string_view text) {
  std::vector<Rule> rules;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = trim(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (line.empty()) continue;
    const std::size_t colon = line.find(':');
    const std::string_view name = trim(line.substr(0, colon));
    if (colon == std::string_view::npos || name.empty())
      return std::unexpected("needs lines of NAME: VALUE");
    const std::string_view value = trim(line.substr(colon + 1));
    if (!http::is_field_value(value) || !http::is_field_value(name))
      return std::unexpected("must not hold control characters");
    rules.push_back(Rule{std::string(name), std::string(value)});
  }
  return rules;
}

template <class Rule>
Value rules_value(std::vector<Rule>& variable, bool may_be_empty) {
  Value value;
  value.assign = [&variable, may_be_empty](std::string_view text) -> Parsed<void> {
    auto rules = parse_rules<Rule>(text);
    if (!rules) return std::unexpected(rules.error());
    for (const auto& [name, content] : *rules)
      if (content.empty() && !may_be_empty) return std::unexpected("needs lines of NAME: VALUE");
    variable = std::move(*rules);
    return {};
  };
  value.show = [&variable] {
    std::string text;
    for (const auto& [name, content] : variable)
      text.append(name).append(": ").append(content) += '\n';
    return text;
  };
  value.reset = [&variable, before = variable] { variable = before; };
  value.forms = {Form::text};
  value.needs = "needs text in quotes";
  return value;
}

}  // namespace

Value cache_control_rules_value(std::vector<http::CacheControlRule>& variable) {
  return rules_value(variable, true);
}

Value mime_types_value(std::vector<http::MimeType>& variable) {
  return rules_value(variable, false);
}

}  // namespace treadle::apps
