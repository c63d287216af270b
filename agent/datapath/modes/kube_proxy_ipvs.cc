// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/modes/kube_proxy_ipvs.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "agent/base/exec.h"
#include "agent/base/netlink.h"
#include "agent/datapath/ipvs/device.h"
#include "agent/datapath/ipvs/kernel.h"
#include "agent/datapath/ipvs/sets.h"

namespace fairlead::modes {

namespace {

constexpr char kDevice[] = "kube-ipvs0";
constexpr char kSetsModule[] = "/sys/module/ip_set";  // also where it is built in

struct NodeAddresses {
  std::set<Address> device, others;
};

Result<NodeAddresses> ListAddresses() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return FailErrno(errno, "addresses of this node");
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, &::freeifaddrs);
  NodeAddresses addresses;
  for (const ifaddrs* each = list; each; each = each->ifa_next) {
    if (!each->ifa_addr) continue;
    char text[INET6_ADDRSTRLEN];
    const auto family = each->ifa_addr->sa_family;
    const void* raw = nullptr;
    if (family == AF_INET) raw = &reinterpret_cast<const sockaddr_in*>(each->ifa_addr)->sin_addr;
    if (family == AF_INET6) raw = &reinterpret_cast<const sockaddr_in6*>(each->ifa_addr)->sin6_addr;
    if (!raw || !::inet_ntop(family, raw, text, sizeof(text))) continue;
    const auto address = Address::Parse(text);
    const std::string_view name = each->ifa_name;
    if (!address || name == ipvs::kDeviceName) continue;
    (name == kDevice ? addresses.device : addresses.others).insert(*address);
  }
  return addresses;
}

Result<void> RemoveDevice() {
  auto netlink = Netlink::Open(NETLINK_ROUTE);
  if (!netlink) return std::unexpected(netlink.error());
  NetlinkRequest request(RTM_DELLINK, 0, ifinfomsg{});
  request.AddText(IFLA_IFNAME, kDevice);
  Result<void> removed;
  auto asked = netlink->AskAll({&request, 1}, [&](size_t, int error) {
    if (error != 0 && error != ENODEV) removed = FailErrno(error, "remove device {}", kDevice);
  });
  return asked ? removed : asked;
}

Result<void> RemoveServers(const std::vector<ipvs::ServerKey>& servers) {
  if (servers.empty()) return {};
  auto kernel = ipvs::NetlinkKernel::Open();
  if (!kernel) return std::unexpected(kernel.error());
  std::vector<ipvs::Step> steps;
  for (const ipvs::ServerKey& server : servers)
    steps.push_back({.verb = ipvs::Verb::kRemoveServer, .server = server, .options = {}, .backend = {}});
  auto done = (*kernel)->Do(steps);
  if (!done) return std::unexpected(done.error());
  for (size_t i = 0; i < done->size(); ++i) {
    const int error = (*done)[i];
    if (error != 0 && error != ESRCH && error != ENOENT)
      return FailErrno(error, "remove virtual server {}", servers[i].ToString());
  }
  return {};
}

std::set<ipvs::ServerKey> OurServers(std::string_view saved) {
  std::set<ipvs::ServerKey> ours;
  for (const ipvs::Element& element : ipvs::ReadSave(saved).elements) {
    ipvs::ServerKey key;
    if (element.set.kind == ipvs::SetKind::kFrontends && ipvs::ParseFrontend(element, key)) ours.insert(key);
  }
  return ours;
}

}  // namespace

std::vector<ipvs::ServerKey> KubeProxyServers(const ipvs::PresentServers& present,
                                              const std::set<Address>& device, const std::set<Address>& node,
                                              const KubeProxySets& sets,
                                              const std::set<ipvs::ServerKey>& ours) {
  std::vector<ipvs::ServerKey> servers;
  for (const auto& [key, server] : present) {
    const bool node_port = node.contains(key.address) && sets.node_ports.contains({key.protocol, key.port});
    if ((node_port || device.contains(key.address)) && !ours.contains(key)) servers.push_back(key);
  }
  return servers;
}

Result<KubeProxyIpvs> FindKubeProxyIpvs() {
  KubeProxyIpvs found;
  found.device = ::if_nametoindex(kDevice) != 0;
  // Asking would load the module.
  if (!found.device && ::access(kSetsModule, F_OK) != 0) return found;
  auto saved = ExecuteOrFail({.argv = {"ipset", "save"}, .input = {}});
  if (!saved && saved.error().kind == ErrorKind::kNotFound && !found.device) return found;
  if (!saved) return std::unexpected(std::move(saved.error()).In("sets of kube-proxy"));
  const KubeProxySets sets = ReadKubeProxySets(*saved);
  found.sets = sets.names;
  if (!found.device && sets.node_ports.empty()) return found;  // likewise

  auto addresses = ListAddresses();
  if (!addresses) return std::unexpected(addresses.error());
  auto kernel = ipvs::NetlinkKernel::Open();
  if (!kernel && kernel.error().kind == ErrorKind::kUnsupported) return found;
  if (!kernel) return std::unexpected(kernel.error());
  auto present = (*kernel)->List();
  if (!present) return std::unexpected(present.error());
  found.servers = KubeProxyServers(*present, addresses->device, addresses->others, sets, OurServers(*saved));
  return found;
}

Result<void> RemoveKubeProxyIpvs(const KubeProxyIpvs& found) {
  Result<void> outcome = RemoveServers(found.servers);
  if (found.device) {
    if (auto removed = RemoveDevice(); !removed && outcome) outcome = removed;
  }
  for (const std::string& set : found.sets) {
    auto destroyed = ExecuteOrFail({.argv = {"ipset", "destroy", set}, .input = {}});
    if (!destroyed && outcome) outcome = std::unexpected(destroyed.error());
  }
  return outcome;
}

}  // namespace fairlead::modes
