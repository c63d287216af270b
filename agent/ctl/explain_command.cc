// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/explain_command.h"

#include <linux/netlink.h>
#include <net/if.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "agent/ctl/explain_ask.h"
#include "agent/ctl/explain_filter.h"
#include "agent/ctl/explanation.h"
#include "agent/ctl/loaded_config.h"
#include "agent/ctl/netns_cookie.h"
#include "agent/datapath/ebpf/bpf_map.h"
#include "agent/datapath/ebpf/pins.h"
#include "agent/options.h"
#include "maps/devices.h"

namespace fairlead::ctl {

namespace {

Result<NodeDevices> ReadDevices(const ebpf::Pins& pins) {
  NodeDevices devices;
  std::unique_ptr<struct if_nameindex, void (*)(struct if_nameindex*)> list(::if_nameindex(),
                                                                            ::if_freenameindex);
  if (!list) return FailErrno(errno, "names of network devices");
  for (const auto* entry = list.get(); entry->if_index != 0; ++entry)
    devices.names.emplace(entry->if_index, entry->if_name);

  const Fd table = pins.OpenMap(devices_table::kName);
  if (!table) return FailErrno(errno, "{}", pins.MapPath(devices_table::kName));
  auto read = ebpf::KernelTable<devices_table>(table.Get()).ForEach([&](uint32_t ifindex, const device& row) {
    if (ifindex != 0) devices.flags.emplace(ifindex, row.flags);  // row 0 is the node itself
  });
  if (!read) return std::unexpected(read.error());
  return devices;
}

// Routes and device numbers mean something in the node's network namespace only.
Result<void> CheckNamespace(const fairlead_config& config, const Netlink& netlink) {
  auto cookie = NetnsCookie(netlink.fd());
  if (!cookie) return std::unexpected(cookie.error());
  if (*cookie == config.node_netns_cookie) return {};
  return Fail(ErrorKind::kNotFound, "this is not the network namespace that fairlead serves as the node");
}

std::optional<Route> RouteIfAny(Netlink& netlink, const Address& to) {
  auto route = RouteTo(netlink, to);
  return route ? std::optional(*route) : std::nullopt;
}

Result<Question> Place(const ExplainRequest& request, const NodeDevices& devices, Netlink& netlink) {
  const EndRoutes routes{RouteIfAny(netlink, request.from.address), RouteIfAny(netlink, request.to.address)};
  auto question = PlaceQuestion(request, devices, routes);
  if (!question || question->at != EXPLAIN_SOCKET) return question;
  question->netns_cookie = routes.from && routes.from->local
                               ? NetnsCookie(netlink.fd()).value_or(0)
                               : NetnsCookieOfPod(request.from.address, Options().netns_dirs);
  return question;
}

}  // namespace

void AddExplainOptions(CLI::App& command, ExplainWords& words) {
  command.add_option("FROM", words.from, "the client: ADDRESS[:PORT]")->required();
  command.add_option("TO", words.to, "whom it calls: ADDRESS:PORT")->required();
  command.add_option("--proto", words.protocol, "")->option_text("tcp|udp");
  command.add_option("--device", words.device, "the device its packets come by (default: as the routes say)");
  command.add_option("--at", words.at, "where it is (default: as the device or the routes say)")
      ->option_text("socket|uplink|pod|egress");
}

Result<std::string> Explain(const Pinned& pinned, const std::string& bpffs_dir, const ExplainRequest& request,
                            Format format) {
  const ebpf::Pins pins(bpffs_dir);
  auto netlink = Netlink::Open(NETLINK_ROUTE);
  if (!netlink) return std::unexpected(netlink.error());
  auto config = ReadLoadedConfig(pins);
  if (!config) return std::unexpected(config.error());
  if (auto checked = CheckNamespace(*config, *netlink); !checked) return std::unexpected(checked.error());
  auto devices = ReadDevices(pins);
  if (!devices) return std::unexpected(devices.error());
  auto question = Place(request, *devices, *netlink);
  if (!question) return std::unexpected(question.error());
  auto answer = Ask(bpffs_dir, *question);
  if (!answer) return std::unexpected(answer.error());
  auto snapshot = pinned.ReadSnapshot();
  if (!snapshot) return std::unexpected(snapshot.error());
  auto unseen = PassesUnseen(*question, snapshot->service_cidrs, pins, *config);
  if (!unseen) return std::unexpected(unseen.error());
  return RenderExplanation({*question, *answer, std::move(*snapshot), std::move(*devices), *unseen}, format);
}

}  // namespace fairlead::ctl
