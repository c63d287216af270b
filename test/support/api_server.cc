// SPDX-License-Identifier: Apache-2.0
#include "test/support/api_server.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <optional>

namespace fairlead::test {
namespace {

std::string Base64(const std::string& bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, 0);
  const int size =
      ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                        reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  out.resize(static_cast<size_t>(size));
  return out;
}

}  // namespace

ApiServer::ApiServer() : ApiServer(Options{}) {}

ApiServer::ApiServer(const Options& options)
    : options_(options),
      cluster_(options.cluster),
      server_(ServerOptions(), [this](const Request& request, Connection& connection) {
        return Handle(request, connection);
      }) {}

HttpsServer::Options ApiServer::ServerOptions() const {
  return {.address = options_.address,
          .port = options_.port,
          .keys = authority_.Issue("kube-apiserver", options_.names, options_.certificate_days),
          .client_authority = options_.ask_client_certificate ? authority_.Pem() : ""};
}

std::string ApiServer::Url() const {
  const bool v6 = options_.address.find(':') != std::string::npos;
  return fmt::format("https://{}:{}", v6 ? "[" + options_.address + "]" : options_.address, port());
}

std::string ApiServer::Kubeconfig(const std::string& user) const {
  return fmt::format(
      "apiVersion: v1\nkind: Config\ncurrent-context: test\n"
      "clusters:\n- name: test\n  cluster: {{server: \"{}\", certificate-authority-data: {}}}\n"
      "users:\n- name: agent\n  user: {}\n"
      "contexts:\n- name: test\n  context: {{cluster: test, user: agent}}\n",
      Url(), Base64(authority_.Pem()), user);
}

void ApiServer::Play(const std::string& path, Reply reply) {
  std::lock_guard lock(mutex_);
  script_[path].push_back(std::move(reply));
}

void ApiServer::RequireToken(const std::string& token) {
  std::lock_guard lock(mutex_);
  token_ = token;
}

std::vector<Request> ApiServer::Requests(const std::string& path) const {
  std::lock_guard lock(mutex_);
  const auto found = requests_.find(path);
  return found == requests_.end() ? std::vector<Request>() : found->second;
}

bool ApiServer::WaitForRequests(const std::string& path, size_t count,
                                std::chrono::milliseconds limit) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, limit, [&] {
    const auto found = requests_.find(path);
    return found != requests_.end() && found->second.size() >= count;
  });
}

After ApiServer::Handle(const Request& request, Connection& connection) {
  std::optional<Reply> scripted;
  bool welcome = true;
  {
    std::lock_guard lock(mutex_);
    requests_[request.path].push_back(request);
    welcome = token_.empty() || request.Header("authorization") == "Bearer " + token_;
    auto& waiting = script_[request.path];
    if (!waiting.empty()) {
      scripted = std::move(waiting.front());
      waiting.pop_front();
    }
  }
  changed_.notify_all();
  if (scripted) return Send(*scripted, connection);
  if (!welcome) return Send(Reply::Status(401, "Unauthorized", "Unauthorized"), connection);
  return cluster_.Serve(request, connection);
}

}  // namespace fairlead::test
