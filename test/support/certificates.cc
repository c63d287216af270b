// SPDX-License-Identifier: Apache-2.0
#include "test/support/certificates.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <atomic>

namespace fairlead::test {
namespace {

template <typename Write>
std::string ToPem(Write write) {
  BIO* bio = ::BIO_new(::BIO_s_mem());
  write(bio);
  char* text = nullptr;
  const long size = ::BIO_get_mem_data(bio, &text);
  std::string pem(text, static_cast<size_t>(size));
  ::BIO_free(bio);
  return pem;
}

std::string CertificatePem(X509* certificate) {
  return ToPem([&](BIO* bio) { ::PEM_write_bio_X509(bio, certificate); });
}

void AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  ::X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = ::X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  if (extension == nullptr) std::abort();
  ::X509_add_ext(certificate, extension, -1);
  ::X509_EXTENSION_free(extension);
}

// An unsigned certificate, valid from two days ago for `days` from now.
X509* NewCertificate(const std::string& common_name, EVP_PKEY* key, int days) {
  static std::atomic<long> serial{1};
  X509* certificate = ::X509_new();
  ::X509_set_version(certificate, 2);
  ::ASN1_INTEGER_set(::X509_get_serialNumber(certificate), serial++);
  ::X509_gmtime_adj(X509_getm_notBefore(certificate), -2 * 86400L);
  ::X509_gmtime_adj(X509_getm_notAfter(certificate), days * 86400L);
  ::X509_set_pubkey(certificate, key);
  ::X509_NAME_add_entry_by_txt(::X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1, 0);
  return certificate;
}

}  // namespace

Authority::Authority(const std::string& name) : key_(EVP_EC_gen("P-256")) {
  certificate_ = NewCertificate(name, key_, 30);
  ::X509_set_issuer_name(certificate_, ::X509_get_subject_name(certificate_));
  AddExtension(certificate_, certificate_, NID_basic_constraints, "critical,CA:TRUE");
  AddExtension(certificate_, certificate_, NID_key_usage, "critical,keyCertSign,cRLSign");
  ::X509_sign(certificate_, key_, ::EVP_sha256());
  pem_ = CertificatePem(certificate_);
}

Authority::~Authority() {
  ::X509_free(certificate_);
  ::EVP_PKEY_free(key_);
}

KeyPair Authority::Issue(const std::string& common_name, const std::vector<std::string>& names,
                         int days) const {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = NewCertificate(common_name, key, days);
  ::X509_set_issuer_name(certificate, ::X509_get_subject_name(certificate_));
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ",") + name;
  if (!list.empty()) AddExtension(certificate, certificate_, NID_subject_alt_name, list);
  ::X509_sign(certificate, key_, ::EVP_sha256());
  KeyPair pair{CertificatePem(certificate), ToPem([&](BIO* bio) {
                 ::PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
               })};
  ::X509_free(certificate);
  ::EVP_PKEY_free(key);
  return pair;
}

}  // namespace fairlead::test
