// SPDX-License-Identifier: Apache-2.0
// IPVS of this network namespace, by generic netlink (linux/ip_vs.h; net/netfilter/ipvs/ip_vs_ctl.c). One
// thread.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/netlink.h"
#include "agent/datapath/ipvs/server.h"
#include "agent/datapath/ipvs/steps.h"

namespace fairlead::ipvs {

// Zero leaves the kernel's.
struct Timeouts {
  std::chrono::seconds tcp{0}, tcp_fin{0}, udp{0};
};

class Kernel {
 public:
  virtual ~Kernel() = default;

  // Every virtual server that goes by address (none by firewall mark), with its backends. Backends that are
  // not reached by NAT are not ours, but shown all the same.
  virtual Result<PresentServers> List() = 0;
  // The backends of one with their connections. kNotFound: there is no such server.
  virtual Result<std::map<BackendKey, Connections>> ConnectionsOf(const ServerKey& server) = 0;
  // Does them in order; for each its errno, 0 for done. A step that fails does not stop those after it.
  virtual Result<std::vector<int>> Do(std::span<const Step> steps) = 0;
  // Whether the scheduler is there, its module loaded if need be.
  virtual Result<void> TryScheduler(const std::string& scheduler) = 0;
};

class NetlinkKernel final : public Kernel {
 public:
  // Asking for the family loads the module ip_vs. kUnsupported where there is none.
  static Result<std::unique_ptr<NetlinkKernel>> Open();
  // Over a socket that speaks as the kernel does, whose family has this number.
  NetlinkKernel(Netlink netlink, uint16_t family) : netlink_(std::move(netlink)), family_(family) {}

  Result<PresentServers> List() override;
  Result<std::map<BackendKey, Connections>> ConnectionsOf(const ServerKey& server) override;
  Result<std::vector<int>> Do(std::span<const Step> steps) override;
  // By a server of a firewall mark that nothing sets, made and removed again.
  Result<void> TryScheduler(const std::string& scheduler) override;

  Result<void> SetTimeouts(const Timeouts& timeouts);
  Result<std::string> Version();  // "1.2.1"

 private:
  NetlinkRequest Request(uint8_t command, uint16_t flags) const;
  NetlinkRequest RequestOf(const Step& step) const;
  Result<void> ListBackends(const ServerKey& key,
                            const std::function<void(const BackendKey&, uint32_t, Connections)>& visit);

  Netlink netlink_;
  uint16_t family_;
};

}  // namespace fairlead::ipvs
