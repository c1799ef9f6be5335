// PROXY headers: however they are cut, the verdict is the same, and nothing past the header is
// asked for.
//
// Input: the bytes of a connection.
#include <string_view>

#include "fuzz.h"
#include "proxy_protocol.h"

using namespace treadle;
using namespace treadle::http;

namespace {

void check_same(const ProxyHeader& a, const ProxyHeader& b) {
  FUZZ_CHECK(a.version == b.version && a.proxied == b.proxied && a.tls == b.tls);
  FUZZ_CHECK(a.source == b.source && a.destination == b.destination);
  FUZZ_CHECK(a.tls_version == b.tls_version && a.tls_cipher == b.tls_cipher);
}

// As read_proxy_header() does: fetches what is asked for, until there is a verdict.
ProxyParse parse_as_asked(std::string_view bytes) {
  std::size_t have = 0;
  for (;;) {
    ProxyParse p = parse_proxy_header(bytes.substr(0, have));
    if (p.status != ParseStatus::need_more) return p;
    FUZZ_CHECK(p.size > 0 && have + p.size <= kProxyLimit);
    have += p.size;
    if (have > bytes.size()) return p;
  }
}

void check_prefixes(std::string_view bytes, const ProxyParse& whole) {
  bool refused = false;
  for (std::size_t n = 0; n < bytes.size() && n < 300; ++n) {
    const ProxyParse p = parse_proxy_header(bytes.substr(0, n));
    refused = refused || p.status == ParseStatus::error;
    // What was refused once stays so, and what is taken in the end was never refused before.
    FUZZ_CHECK(!refused || p.status == ParseStatus::error);
    if (whole.status == ParseStatus::complete && n < whole.size) {
      FUZZ_CHECK(p.status == ParseStatus::need_more);
      FUZZ_CHECK(p.size <= whole.size - n);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = fuzz::Input(data, size).rest();
  const ProxyParse whole = parse_proxy_header(bytes);
  check_prefixes(bytes, whole);
  const ProxyParse asked = parse_as_asked(bytes);
  FUZZ_CHECK((whole.status == ParseStatus::complete) == (asked.status == ParseStatus::complete));
  if (whole.status != ParseStatus::complete) return 0;
  FUZZ_CHECK(whole.size <= bytes.size() && whole.size == asked.size);
  check_same(whole.header, asked.header);
  if (!whole.header.proxied) return 0;
  // Addresses of version 1 are written back as a line that means the same.
  if (whole.header.version == 1 && whole.header.source.family() == AF_INET &&
      whole.header.destination.family() == AF_INET) {
    const ProxyHeader& h = whole.header;
    const std::string line = "PROXY TCP4 " + h.source.host() + " " + h.destination.host() + " " +
                             std::to_string(h.source.port()) + " " +
                             std::to_string(h.destination.port()) + "\r\n";
    check_same(parse_proxy_header(line).header, h);
  }
  return 0;
}
