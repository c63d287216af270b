// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/modes/facts.h"

#include <fmt/format.h>

namespace fairlead::modes {

plan::NodeFacts FactsIn(Mode mode, plan::NodeFacts facts) {
  facts.serves_maglev = facts.serves_dsr = mode == Mode::kEbpf;
  if (mode != Mode::kEbpf) facts.default_algorithm = plan::Algorithm::kRandom;
  if (mode == Mode::kNftables && facts.nodeport_cidrs.empty()) facts.nodeport_primary = true;
  facts.localhost_nodeports &= mode == Mode::kEbpf || mode == Mode::kIptables;
  facts.localhost_nodeports_v6 &= mode == Mode::kEbpf;
  return facts;
}

std::vector<std::string> WithoutEffect(Mode mode, const Options& options) {
  std::vector<std::string> lines;
  auto say = [&](bool made, std::string_view what, std::string_view why) {
    if (made) lines.push_back(fmt::format("{}: has no effect in {} mode: {}", what, ModeName(mode), why));
  };
  if (mode == Mode::kEbpf) {
    say(options.masquerade_all, "masqueradeAll, for clients on this node",
        "they are translated at the socket and keep their own address; packets from elsewhere are "
        "masqueraded");
    say(options.conntrack_tcp_be_liberal, "conntrack.tcpBeLiberal",
        "windows of a connection are not followed, so nothing is ever outside of one");
    return lines;
  }
  const Options defaults;
  constexpr auto kNoPrograms = "the kernel's own packet filter does the work, on every device";
  say(options.devices != defaults.devices, "devices", kNoPrograms);
  say(options.pod_devices != defaults.pod_devices, "podDevices", kNoPrograms);
  say(options.xdp != defaults.xdp && options.xdp != "off", "xdp", kNoPrograms);
  say(options.pod_delivery == "direct", "podDelivery direct", kNoPrograms);
  say(options.default_algorithm == "maglev", "defaultAlgorithm maglev",
      mode == Mode::kIpvs ? "ipvs.scheduler chooses" : "backends are chosen at random");
  return lines;
}

}  // namespace fairlead::modes
