// Lists in header fields, media types and their parameters: what a plain split finds, in one field
// or in several; parameters written anew say the same.
//
// Input: a token, '\n', a field's value.
#include <string>
#include <vector>

#include <treadle/http/header.h>

#include "field_list.h"
#include "fuzz.h"
#include "media_type.h"

using namespace treadle;
using namespace treadle::http;

namespace {

void check_list(std::string_view token, std::string_view value) {
  std::vector<std::string> split;
  std::vector<HeaderField> fields;
  for (std::string_view rest = value;;) {
    const std::size_t comma = rest.find(',');
    fields.push_back({"list", rest.substr(0, comma)});
    std::string member(rest.substr(0, comma));
    while (!member.empty() && (member.front() == ' ' || member.front() == '\t')) member.erase(0, 1);
    while (!member.empty() && (member.back() == ' ' || member.back() == '\t')) member.pop_back();
    if (!member.empty()) split.push_back(member);
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  FieldList list(value);
  bool has = false;
  for (const std::string& member : split) {
    FUZZ_CHECK(list.next() == std::string_view(member));
    has = has || equal_ignore_case(member, token);
  }
  FUZZ_CHECK(!list.next());

  const std::vector<HeaderField> one{{"List", value}};
  FUZZ_CHECK(HeaderView(one).has_token("list", token) == has);
  FUZZ_CHECK(HeaderView(fields).has_token("LIST", token) == has);
}

void check_parameters(std::string_view text) {
  std::string rewritten;
  std::vector<std::pair<std::string, std::string>> all;
  ParameterReader reader(text);
  for (;;) {
    const ParameterReader::Step step = reader.next();
    if (step == ParameterReader::Step::bad) return;
    if (step == ParameterReader::Step::end) break;
    FUZZ_CHECK(is_token(reader.name()));
    all.emplace_back(reader.name(), reader.value());
    rewritten.append("; ").append(reader.name()).append("=\"");
    for (const char c : reader.value()) {
      if (c == '"' || c == '\\') rewritten += '\\';
      rewritten += c;
    }
    rewritten += '"';
  }
  ParameterReader again(rewritten);
  for (const auto& [name, value] : all) {
    FUZZ_CHECK(again.next() == ParameterReader::Step::parameter);
    FUZZ_CHECK(again.name() == name && again.value() == value);
  }
  FUZZ_CHECK(again.next() == ParameterReader::Step::end);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::string_view token = input.until('\n');
  const std::string_view value = input.rest();
  check_list(token, value);
  check_parameters(value);
  if (const auto t = parse_media_type(value)) {
    FUZZ_CHECK(is_token(t->type) && is_token(t->subtype));
    FUZZ_CHECK(t->is(t->type, t->subtype));
    FUZZ_CHECK(t->parameters.empty() || t->parameters.front() == ';');
    check_parameters(t->parameters);
  }
  return 0;
}
