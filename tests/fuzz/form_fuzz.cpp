// Forms: the same fields and files whether they fit into memory or go to disk, and however the body
// arrives; an urlencoded one is what a plain split of it says.
//
// Input: two bytes that cut and limit, a Content-Type, '\n', a body.
#include <string>

#include <treadle/http/form.h>

#include "fuzz.h"
#include "http/fake_request.h"
#include "url.h"

using namespace treadle;
using namespace treadle::http;

namespace {

// Everything a form says; the error's text when there is none.
std::string read(std::string_view type, std::string_view body, std::size_t piece,
                 std::size_t memory) {
  test::FakeRequest fake{std::string(type), std::string(body), piece};
  const Result<Form> form =
      read_form(fake.request, {.pairs = 10, .part_head = 300, .memory = memory});
  if (!form) {
    FUZZ_CHECK(fake.state.content_error() == form.error());
    return "!" + form.error().message();
  }
  FUZZ_CHECK(!fake.state.content_error());
  std::string out;
  for (const QueryPair& f : form->fields()) out += f.name + "=" + f.value + "\n";
  for (const UploadedFile& f : form->files()) {
    const Result<std::string> data = f.read_all();
    FUZZ_CHECK(data && data->size() == f.size());
    out += f.name() + "/" + f.filename() + "/" + f.content_type() + ":" + *data + "\n";
  }
  return out;
}

std::optional<std::string> decode(std::string_view text) {
  std::string spaced(text);
  for (char& c : spaced) c = c == '+' ? ' ' : c;
  return percent_decode(spaced);
}

// Ten pairs at most; nothing for a bad escape.
std::optional<std::string> plain_split(std::string_view body) {
  std::string out;
  while (!body.empty()) {
    const std::string_view pair = body.substr(0, body.find('&'));
    body.remove_prefix(std::min(pair.size() + 1, body.size()));
    if (pair.empty()) continue;
    const std::size_t equals = std::min(pair.find('='), pair.size());
    const auto name = decode(pair.substr(0, equals));
    const auto value = decode(equals < pair.size() ? pair.substr(equals + 1) : "");
    if (!name || !value) return std::nullopt;
    out += *name + "=" + *value + "\n";
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::size_t piece = input.byte() + 1;
  const std::size_t memory = input.byte() * 16;
  const std::string_view type = input.until('\n');
  const std::string_view body = input.rest();

  constexpr std::size_t kPlenty = 1 << 20;
  const std::string whole = read(type, body, kPlenty, kPlenty);
  FUZZ_CHECK(read(type, body, piece, kPlenty) == whole);
  const std::string small = read(type, body, piece, memory);
  FUZZ_CHECK(small == whole || small.ends_with("too large"));

  const std::string encoded = read("application/x-www-form-urlencoded", body, piece, kPlenty);
  if (!encoded.starts_with("!")) FUZZ_CHECK(encoded == plain_split(body));
  return 0;
}
