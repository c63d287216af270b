// SPDX-License-Identifier: Apache-2.0
// A Kubernetes API server for tests, over TLS on loopback: a live cluster, and replies scripted per path that
// go before it. Every request is remembered.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "test/support/api_cluster.h"
#include "test/support/api_reply.h"
#include "test/support/certificates.h"
#include "test/support/https_server.h"

namespace fairlead::test {

inline constexpr const char* kServicesPath = "/api/v1/services";
inline constexpr const char* kSlicesPath = "/apis/discovery.k8s.io/v1/endpointslices";
inline constexpr const char* kNodesPath = "/api/v1/nodes";
inline constexpr const char* kServiceCidrsPath = "/apis/networking.k8s.io/v1/servicecidrs";

class ApiServer {
 public:
  struct Options {
    std::string address = "127.0.0.1";
    uint16_t port = 0;
    std::vector<std::string> names = {"IP:127.0.0.1", "IP:::1", "DNS:localhost"};  // of its certificate
    int certificate_days = 30;
    bool ask_client_certificate = false;
    ApiCluster::Options cluster;
  };

  ApiServer();
  explicit ApiServer(const Options& options);

  ApiCluster& cluster() { return cluster_; }
  const Authority& authority() const { return authority_; }
  uint16_t port() const { return server_.port(); }
  std::string Url() const;
  // A kubeconfig for it, with `user` as the YAML flow map of its user ("{token: abc}").
  std::string Kubeconfig(const std::string& user = "{}") const;

  // Answers the next request for this path; more than one wait in line.
  void Play(const std::string& path, Reply reply);
  // Any other token is refused with 401 from now on; empty: all are welcome.
  void RequireToken(const std::string& token);
  void CloseConnections() { server_.CloseConnections(); }

  std::vector<Request> Requests(const std::string& path) const;
  // True once there have been so many requests for the path.
  bool WaitForRequests(const std::string& path, size_t count,
                       std::chrono::milliseconds limit = std::chrono::seconds(5)) const;

 private:
  After Handle(const Request& request, Connection& connection);
  HttpsServer::Options ServerOptions() const;

  const Options options_;
  const Authority authority_;
  ApiCluster cluster_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::map<std::string, std::deque<Reply>> script_;
  std::map<std::string, std::vector<Request>> requests_;
  std::string token_;
  HttpsServer server_;  // last: its threads use the rest
};

}  // namespace fairlead::test
