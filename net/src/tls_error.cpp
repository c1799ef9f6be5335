// The error category of TLS.
#include <treadle/net/tls.h>

namespace treadle::net {
namespace {

class Category final : public std::error_category {
 public:
  constexpr Category() noexcept = default;

  const char* name() const noexcept override { return "treadle.tls"; }

  std::string message(int value) const override {
    switch (static_cast<TlsErrc>(value)) {
      case TlsErrc::plaintext: return "the peer does not speak TLS";
      case TlsErrc::truncated: return "the TLS stream ended without close_notify";
      case TlsErrc::version: return "no TLS version in common";
      case TlsErrc::no_cipher: return "no TLS cipher in common";
      case TlsErrc::no_protocol: return "no ALPN protocol in common";
      case TlsErrc::certificate: return "the peer's certificate is missing or not trusted";
      case TlsErrc::alert: return "the peer refused with a TLS alert";
      case TlsErrc::protocol: return "the peer broke the TLS protocol";
    }
    return "unknown TLS error " + std::to_string(value);
  }
};

// Never destroyed: an error may be compared or printed by the last static destructor.
union Immortal {
  constexpr Immortal() noexcept : category() {}
  ~Immortal() {}
  Category category;
};
constinit Immortal immortal;

}  // namespace

const std::error_category& tls_category() noexcept { return immortal.category; }

}  // namespace treadle::net
