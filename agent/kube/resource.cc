// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/resource.h"

#include <fmt/format.h>

namespace fairlead::kube {
namespace {

std::string PercentEncode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

std::string Target(const Resource& resource, const std::string& query) {
  const std::string both =
      resource.selector + (resource.selector.empty() || query.empty() ? "" : "&") + query;
  return resource.path + (both.empty() ? "" : "?") + both;
}

}  // namespace

std::string Resource::ListTarget(int limit, std::string_view continue_token) const {
  std::string query = limit > 0 ? fmt::format("limit={}", limit) : "";
  if (!continue_token.empty()) query += "&continue=" + PercentEncode(continue_token);
  return Target(*this, query);
}

std::string Resource::WatchTarget(std::string_view resource_version, long timeout_s) const {
  return Target(*this, fmt::format("watch=true&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds={}",
                                   PercentEncode(resource_version), timeout_s));
}

std::string Resource::WatchListTarget(long timeout_s) const {
  return Target(*this, fmt::format("watch=true&allowWatchBookmarks=true&sendInitialEvents=true"
                                   "&resourceVersionMatch=NotOlderThan&timeoutSeconds={}",
                                   timeout_s));
}

std::vector<Resource> WatchedResources(std::string_view node_name) {
  const std::string other_proxy = "!service.kubernetes.io/service-proxy-name";
  const std::string headless = "!service.kubernetes.io/headless";
  return {
      {Kind::kService, "services", "/api/v1/services", "labelSelector=" + PercentEncode(other_proxy)},
      {Kind::kEndpointSlice, "endpointslices", "/apis/discovery.k8s.io/v1/endpointslices",
       "labelSelector=" + PercentEncode(headless + "," + other_proxy)},
      {Kind::kNode, "nodes", "/api/v1/nodes",
       "fieldSelector=" + PercentEncode(fmt::format("metadata.name={}", node_name))},
      {Kind::kServiceCidr, "servicecidrs", "/apis/networking.k8s.io/v1/servicecidrs", "", true},
  };
}

}  // namespace fairlead::kube
