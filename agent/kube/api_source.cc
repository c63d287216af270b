// SPDX-License-Identifier: Apache-2.0
// An API server as a source: one reflector for each kind over one client.
#include <spdlog/spdlog.h>

#include "agent/kube/reflector.h"

namespace fairlead::kube {
namespace {

class ApiSource : public Source {
 public:
  ApiSource(ApiOptions options, std::unique_ptr<HttpClient> client)
      : options_(std::move(options)), client_(std::move(client)), link_{*client_, options_.watch_list} {}

  ~ApiSource() override {
    for (const auto& reflector : reflectors_) reflector->RequestStop();
    client_->Stop();
  }

  void Start(Sink& sink) override {
    for (Resource& resource : WatchedResources(options_.node_name)) {
      reflectors_.push_back(std::make_unique<Reflector>(std::move(resource), options_, link_, sink));
    }
  }

  // Reflectors are made by Start, before anybody asks.
  std::vector<WatchState> Watches() const override {
    std::vector<WatchState> watches;
    for (const auto& reflector : reflectors_) watches.push_back(reflector->State());
    return watches;
  }

  std::string Describe() const override { return client_->access().server; }

 private:
  const ApiOptions options_;
  const std::unique_ptr<HttpClient> client_;
  ServerLink link_;
  std::vector<std::unique_ptr<Reflector>> reflectors_;
};

Result<ApiAccess> FindAccess(const ApiOptions& options) {
  ApiAccess access;
  access.user = "anonymous";
  if (!options.kubeconfig.empty()) {
    auto read = ReadKubeconfig(options.kubeconfig, options.context);
    if (!read) return read;
    access = std::move(*read);
  } else if (options.master.empty()) {
    return InClusterAccess(options.service_account_dir);
  }
  if (!options.master.empty()) {
    if (auto set = SetServer(access, options.master, "master"); !set) return Unexpected(set.error());
  }
  return access;
}

}  // namespace

Result<std::unique_ptr<Source>> OpenApiServer(const ApiOptions& options) {
  if (options.node_name.empty())
    return Fail(ErrorKind::kInvalid, "node name: expected this node's name, got none");
  auto access = FindAccess(options);
  if (!access) return Unexpected(access.error());
  auto client = HttpClient::Create(std::move(*access));
  if (!client) return Unexpected(client.error());
  return std::make_unique<ApiSource>(options, std::move(*client));
}

}  // namespace fairlead::kube
