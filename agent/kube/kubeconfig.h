// SPDX-License-Identifier: Apache-2.0
// How to reach an API server and who we are to it: read from a kubeconfig, or from what a pod finds in its
// service account. Reads files once; what rotates (token, certificates) is kept as a path.
#pragma once

#include <string>

#include "agent/base/error.h"

namespace fairlead::kube {

// PEM text given in the kubeconfig itself, or the file that holds it. At most one of the two is set.
struct Pem {
  std::string data;
  std::string file;
  std::string
      field;  // where it came from, for messages: "kubeconfig /etc/x: clusters[a].cluster.certificate-..."

  bool Given() const { return !data.empty() || !file.empty(); }
  Result<std::string> Read() const;  // the text; kInvalid names the field
};

struct ApiAccess {
  std::string server;  // "https://10.0.0.1:6443", no slash at the end; http:// only without credentials
  std::string tls_server_name;  // name to expect in the certificate and to send as SNI; empty: the server's
  bool insecure_skip_tls_verify = false;
  bool disable_compression = false;
  Pem ca;  // the only authorities trusted; not given: the system's
  Pem client_certificate;
  Pem client_key;
  std::string token;
  std::string token_file;  // wins over `token` once it could be read
  std::string user;        // for messages: kubeconfig user or "service account"
};

// `context` empty: current-context. Relative paths are relative to the kubeconfig. kInvalid or kUnsupported
// with the file and the field; exec and auth-provider users are refused by name.
Result<ApiAccess> ReadKubeconfig(const std::string& path, const std::string& context);

// KUBERNETES_SERVICE_HOST and _PORT of the environment; token and ca.crt in `service_account_dir`.
Result<ApiAccess> InClusterAccess(const std::string& service_account_dir);

// Takes "https://host[:port][/path]" in place of what the kubeconfig says. kInvalid names `what`.
Result<> SetServer(ApiAccess& access, const std::string& url, const std::string& what);

}  // namespace fairlead::kube
