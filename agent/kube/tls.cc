// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

namespace fairlead::kube {
namespace {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Bio = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Deleter<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;

Bio MemoryBio(const std::string& text) {
  return Bio(::BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::string LastOpensslError() {
  const unsigned long code = ::ERR_peek_last_error();
  ::ERR_clear_error();
  const char* reason = ::ERR_reason_error_string(code);
  return reason != nullptr ? reason : "unknown error";
}

// The verdict's owner travels with the SSL_CTX, which may outlive the client that made it.
void FreeVerdict(void*, void* owner, CRYPTO_EX_DATA*, int, long, void*) {
  delete static_cast<std::shared_ptr<TlsVerdict>*>(owner);
}

// Verifies with OpenSSL's own rules only: a verify callback of the HTTP library, made for one host name of
// its own choice, must not add or take anything.
int VerifyServer(X509_STORE_CTX* store, void* verdict) {
  ::X509_STORE_CTX_set_verify_cb(store, [](int ok, X509_STORE_CTX*) { return ok; });
  const int ok = ::X509_verify_cert(store);
  const int error = ::X509_STORE_CTX_get_error(store);
  static_cast<TlsVerdict*>(verdict)->Set(ok == 1 ? "" : ::X509_verify_cert_error_string(error));
  return ok;
}

Result<> TrustOnly(const Pem& ca, SSL_CTX* context) {
  auto text = ca.Read();
  if (!text) return Unexpected(text.error());
  X509_STORE* store = ::X509_STORE_new();
  ::SSL_CTX_set_cert_store(context, store);  // takes the store over
  Bio bio = MemoryBio(*text);
  int count = 0;
  while (Certificate certificate{::PEM_read_bio_X509_AUX(bio.get(), nullptr, nullptr, nullptr)}) {
    ::X509_STORE_add_cert(store, certificate.get());
    ++count;
  }
  ::ERR_clear_error();  // the end of the text counts as an error
  if (count == 0) return Fail(ErrorKind::kInvalid, "{}: expected at least one certificate", ca.field);
  return {};
}

Result<> ShowCertificate(const ApiAccess& access, SSL_CTX* context) {
  auto chain = access.client_certificate.Read();
  auto key_text = access.client_key.Read();
  if (!chain) return Unexpected(chain.error());
  if (!key_text) return Unexpected(key_text.error());
  Bio bio = MemoryBio(*chain);
  Certificate leaf{::PEM_read_bio_X509_AUX(bio.get(), nullptr, nullptr, nullptr)};
  if (!leaf || ::SSL_CTX_use_certificate(context, leaf.get()) != 1) {
    return Fail(ErrorKind::kInvalid, "{}: expected a certificate: {}", access.client_certificate.field,
                LastOpensslError());
  }
  while (X509* next = ::PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    ::SSL_CTX_add_extra_chain_cert(context, next);  // takes `next` over
  }
  ::ERR_clear_error();
  Bio key_bio = MemoryBio(*key_text);
  // An encrypted key is refused instead of asking the terminal for its password.
  Key key{
      ::PEM_read_bio_PrivateKey(key_bio.get(), nullptr, [](char*, int, int, void*) { return -1; }, nullptr)};
  if (!key) {
    return Fail(ErrorKind::kInvalid, "{}: expected an unencrypted private key: {}", access.client_key.field,
                LastOpensslError());
  }
  if (::SSL_CTX_use_PrivateKey(context, key.get()) != 1) {
    return Fail(ErrorKind::kInvalid, "{}: does not belong to the client certificate: {}",
                access.client_key.field, LastOpensslError());
  }
  return {};
}

}  // namespace

void TlsVerdict::Set(std::string reason) {
  std::lock_guard lock(mutex_);
  reason_ = std::move(reason);
}

std::string TlsVerdict::Get() const {
  std::lock_guard lock(mutex_);
  return reason_;
}

std::string HostOf(const std::string& server) {
  const size_t scheme = server.find("://");
  const size_t start = scheme == std::string::npos ? 0 : scheme + 3;
  const std::string authority = server.substr(start, server.find('/', start) - start);
  if (authority.starts_with('[')) return authority.substr(1, authority.find(']') - 1);
  return authority.substr(0, authority.find(':'));
}

bool IsAddress(const std::string& host) {
  in6_addr scratch;
  return ::inet_pton(AF_INET, host.c_str(), &scratch) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), &scratch) == 1;
}

Result<> SetUpTls(const ApiAccess& access, ssl_ctx_st* context, std::shared_ptr<TlsVerdict> verdict) {
  ::SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  if (access.ca.Given()) {
    if (auto trusted = TrustOnly(access.ca, context); !trusted) return trusted;
  }
  if (access.client_certificate.Given()) {
    if (auto shown = ShowCertificate(access, context); !shown) return shown;
  }
  if (access.insecure_skip_tls_verify) return {};
  const std::string host = access.tls_server_name.empty() ? HostOf(access.server) : access.tls_server_name;
  X509_VERIFY_PARAM* param = ::SSL_CTX_get0_param(context);
  const int named = IsAddress(host) ? ::X509_VERIFY_PARAM_set1_ip_asc(param, host.c_str())
                                    : ::X509_VERIFY_PARAM_set1_host(param, host.c_str(), host.size());
  if (named != 1) return Fail(ErrorKind::kInvalid, "{}: \"{}\" is no host name", access.server, host);
  static const int index = ::SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, FreeVerdict);
  auto* owner = new std::shared_ptr<TlsVerdict>(std::move(verdict));
  ::SSL_CTX_set_ex_data(context, index, owner);
  ::SSL_CTX_set_cert_verify_callback(context, VerifyServer, owner->get());
  return {};
}

}  // namespace fairlead::kube
