#include "random_key_hash.h"

#include "random_bytes.h"

namespace treadle::http {

SipKey SipKey::random() noexcept {
  SipKey drawn;
  fill_random(&drawn, sizeof drawn);
  return drawn;
}

const SipKey& process_sip_key() noexcept {
  static const SipKey key = SipKey::random();
  return key;
}

}  // namespace treadle::http
