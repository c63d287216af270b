// SPDX-License-Identifier: Apache-2.0
// A certificate authority made on the spot, for TLS between test programs. Keys are P-256 and live in memory.
#pragma once

#include <memory>
#include <string>
#include <vector>

struct evp_pkey_st;
struct x509_st;

namespace fairlead::test {

struct KeyPair {
  std::string certificate;  // PEM
  std::string key;          // PEM
};

class Authority {
 public:
  explicit Authority(const std::string& name = "fairlead test CA");
  ~Authority();

  const std::string& Pem() const { return pem_; }
  // `names` as OpenSSL writes them: "IP:127.0.0.1", "DNS:localhost". `days` may be negative: expired.
  KeyPair Issue(const std::string& common_name, const std::vector<std::string>& names, int days = 30) const;

 private:
  evp_pkey_st* key_ = nullptr;
  x509_st* certificate_ = nullptr;
  std::string pem_;
};

}  // namespace fairlead::test
