#include "tls_names.h"

#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>

#include "tls_openssl.h"

namespace treadle::net::tls {
namespace {

constexpr std::size_t kLongestName = 253;
constexpr std::string_view kWildcard = "*.";

bool in_names(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string_view text_of(const ASN1_STRING* s) noexcept {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(s)),
          static_cast<std::size_t>(ASN1_STRING_length(s))};
}

void add_name(std::vector<std::string>& to, std::string_view name) {
  std::string out;
  if (name.starts_with(kWildcard)) {
    out = normal_name(name.substr(kWildcard.size()));
    if (!out.empty()) out.insert(0, kWildcard);
  } else {
    out = normal_name(name);
  }
  if (!out.empty() && std::ranges::find(to, out) == to.end()) to.push_back(std::move(out));
}

void add_common_name(std::vector<std::string>& to, X509* certificate) {
  X509_NAME* subject = X509_get_subject_name(certificate);
  int last = -1;
  for (int i = -1; (i = X509_NAME_get_index_by_NID(subject, NID_commonName, i)) >= 0;) last = i;
  if (last < 0) return;
  const ASN1_STRING* value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last));
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, value);
  if (size < 0) return;
  add_name(to, {reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(size)});
  OPENSSL_free(utf8);
}

}  // namespace

std::string normal_name(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty() || name.size() > kLongestName || name.starts_with('.')) return {};
  std::string out(name);
  std::ranges::transform(out, out.begin(), lower);
  return std::ranges::all_of(out, in_names) ? out : std::string();
}

std::vector<std::string> certificate_names(X509* certificate) {
  std::vector<std::string> out;
  bool has_dns_names = false;
  const std::unique_ptr<GENERAL_NAMES, FreedBy<GENERAL_NAMES_free>> all(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; all && i < sk_GENERAL_NAME_num(all.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(all.get(), i);
    if (name->type != GEN_DNS) continue;
    has_dns_names = true;
    add_name(out, text_of(name->d.dNSName));
  }
  if (!has_dns_names) add_common_name(out, certificate);
  return out;
}

std::string_view parent_name(std::string_view name) noexcept {
  const std::size_t dot = name.find('.');
  return dot == std::string_view::npos || dot == 0 ? std::string_view() : name.substr(dot + 1);
}

std::string name_in_extension(std::string_view extension) {
  // A list's length (2 bytes), then one entry: its type (0, a host name), length (2), the name.
  // OpenSSL parses it too, later, and refuses what is malformed.
  constexpr std::size_t kHead = 5;
  const auto at = [extension](std::size_t i) { return static_cast<unsigned char>(extension[i]); };
  if (extension.size() < kHead || at(2) != 0) return {};
  const std::size_t size = at(3) * 256u + at(4);
  if (extension.size() - kHead < size) return {};
  return normal_name(extension.substr(kHead, size));
}

}  // namespace treadle::net::tls
