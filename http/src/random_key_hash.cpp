#include "random_key_hash.h"

#include "random_bytes.h"

namespace treadle::http {

const SipKey& process_sip_key() noexcept {
  static const SipKey key = [] {
    SipKey drawn;
    fill_random(&drawn, sizeof drawn);
    return drawn;
  }();
  return key;
}

}  // namespace treadle::http
