// Comma-separated lists in field values, and what the head's fields make of them, beside a plain
// reading of RFC 9110 5.6.1.
//
// Input: lines, each the value of one field of the same name.
#include <algorithm>
#include <string>
#include <vector>

#include <treadle/http/header.h>

#include "field_list.h"
#include "fuzz.h"
#include "head_fields.h"
#include "parser.h"

using namespace treadle;
using namespace treadle::http;

namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  return out;
}

// Member by member, each byte once.
std::vector<std::string> members(std::string_view value) {
  std::vector<std::string> out;
  std::string member, blanks;
  const auto end = [&] {
    if (!member.empty()) out.push_back(member);
    member.clear();
    blanks.clear();
  };
  for (const char c : value) {
    if (c == ',') {
      end();
    } else if (c == ' ' || c == '\t') {
      blanks += c;
    } else {
      if (!member.empty()) member += blanks;
      blanks.clear();
      member += c;
    }
  }
  end();
  return out;
}

void check_list(std::string_view value) {
  FieldList list(value);
  for (const std::string& expected : members(value)) {
    const auto member = list.next();
    FUZZ_CHECK(member == expected);
    // A view into the value itself.
    FUZZ_CHECK(member->data() >= value.data());
    FUZZ_CHECK(member->data() + member->size() <= value.data() + value.size());
  }
  FUZZ_CHECK(!list.next() && !list.next());
  const std::string_view trimmed = trim_ows(value);
  FUZZ_CHECK(trim_ows(trimmed) == trimmed);
  FUZZ_CHECK(trimmed.size() <= value.size());
}

std::size_t count(const std::vector<std::string>& all, std::string_view wanted) {
  return static_cast<std::size_t>(std::count_if(
      all.begin(), all.end(), [&](const auto& member) { return lower(member) == wanted; }));
}

// All lines together are one list (RFC 9110 5.3).
void check_fields(const std::vector<std::string_view>& lines) {
  std::vector<std::string> all;
  RequestHead connection, expect;
  connection.headers = expect.headers = {{"Host", "h"}, {"Content-Length", "1"}};
  std::vector<HeaderField> fields;
  for (const std::string_view line : lines) {
    for (const std::string& member : members(line)) all.push_back(member);
    fields.push_back({"X-List", line});
    connection.headers.push_back({"connection", line});
    expect.headers.push_back({"eXpect", line});
  }
  const HeaderView view(fields);
  for (const std::string& member : all) {
    FUZZ_CHECK(view.has_token("x-LIST", member) && view.has_token("X-List", lower(member)));
    FUZZ_CHECK(!view.has_token("X-Lis", member));
  }
  FUZZ_CHECK(view.has_token("X-List", "close") == (count(all, "close") > 0));
  FUZZ_CHECK(view.count("x-list") == lines.size());

  for (const int minor : {0, 1}) {
    connection.minor_version = minor;
    FUZZ_CHECK(!interpret_fields(connection));
    const bool close = count(all, "close") > 0;
    const bool keep = count(all, "keep-alive") > 0;
    FUZZ_CHECK(connection.keep_alive == (!close && (minor == 1 || keep)));
  }
  const auto refusal = interpret_fields(expect);
  FUZZ_CHECK(refusal.has_value() == (count(all, "100-continue") != all.size()));
  if (refusal) {
    FUZZ_CHECK(refusal->status == 417);
  } else {
    FUZZ_CHECK(expect.expect_continue == !all.empty());
  }
}

void check_encoding(std::string_view value) {
  RequestHead head;
  head.headers = {{"Host", "h"}, {"Transfer-Encoding", value}};
  const auto refusal = interpret_fields(head);
  FUZZ_CHECK(refusal.has_value() == (lower(value) != "chunked"));
  if (!refusal) {
    FUZZ_CHECK(head.body == BodyKind::chunked);
    return;
  }
  // 501 for codings that a server may have, with chunked as the last one and only there.
  const std::vector<std::string> codings = members(value);
  if (refusal->status == 501) {
    FUZZ_CHECK(codings.size() > 1 && lower(codings.back()) == "chunked");
    FUZZ_CHECK(count(codings, "chunked") == 1 && count(codings, "identity") == 0);
  } else {
    FUZZ_CHECK(refusal->status == 400);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  std::vector<std::string_view> lines;
  while (!input.empty()) {
    lines.push_back(input.until('\n'));
    check_list(lines.back());
    check_encoding(trim_ows(lines.back()));  // as the parser hands them on
  }
  if (lines.size() <= 90) check_fields(lines);
  return 0;
}
