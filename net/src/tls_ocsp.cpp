// OCSP responses to staple (RFC 6960).
#include <openssl/ocsp.h>

#include <treadle/log.h>

#include "tls_certificate.h"

namespace treadle::net::tls {
namespace {

using ResponsePtr = std::unique_ptr<OCSP_RESPONSE, FreedBy<OCSP_RESPONSE_free>>;
using BasicPtr = std::unique_ptr<OCSP_BASICRESP, FreedBy<OCSP_BASICRESP_free>>;

// Whether the id is that of `leaf`. Without the issuer only the serial numbers can be compared.
bool is_about(const OCSP_CERTID* id, X509* leaf, X509* issuer) {
  ASN1_INTEGER* serial = nullptr;
  ASN1_OBJECT* digest = nullptr;
  if (OCSP_id_get0_info(nullptr, &digest, nullptr, &serial, const_cast<OCSP_CERTID*>(id)) != 1)
    return false;
  if (ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(leaf)) != 0) return false;
  const EVP_MD* md = EVP_get_digestbyobj(digest);
  if (issuer == nullptr || md == nullptr) return true;
  const std::unique_ptr<OCSP_CERTID, FreedBy<OCSP_CERTID_free>> wanted(
      OCSP_cert_to_id(md, leaf, issuer));
  return wanted && OCSP_id_cmp(id, wanted.get()) == 0;
}

}  // namespace

Loaded<OcspResponse> parse_ocsp(std::string der, const std::string& path, X509* leaf,
                                X509* issuer) {
  const auto wrong = [&](const std::string& what) { return std::unexpected(path + ": " + what); };
  forget_errors();
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const ResponsePtr response(d2i_OCSP_RESPONSE(nullptr, &at, static_cast<long>(der.size())));
  if (!response) return wrong("no OCSP response in DER: " + take_error().text);
  const int status = OCSP_response_status(response.get());
  if (status != OCSP_RESPONSE_STATUS_SUCCESSFUL)
    return wrong(std::string("the OCSP responder refused: ") + OCSP_response_status_str(status));
  const BasicPtr basic(OCSP_response_get1_basic(response.get()));
  if (!basic) return wrong("an OCSP response of an unknown type: " + take_error().text);

  for (int i = 0; i < OCSP_resp_count(basic.get()); ++i) {
    OCSP_SINGLERESP* single = OCSP_resp_get0(basic.get(), i);
    if (!is_about(OCSP_SINGLERESP_get0_id(single), leaf, issuer)) continue;
    ASN1_GENERALIZEDTIME* until = nullptr;
    const int verdict = OCSP_single_get0_status(single, nullptr, nullptr, nullptr, &until);
    if (verdict != V_OCSP_CERTSTATUS_GOOD)
      log::warn("tls: {} says that the certificate is {}", path, OCSP_cert_status_str(verdict));
    forget_errors();
    return OcspResponse{std::move(der), to_time(until)};
  }
  forget_errors();
  return wrong("an OCSP response about another certificate");
}

}  // namespace treadle::net::tls
