// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/devices.h"

#include <fnmatch.h>

#include <algorithm>
#include <cstring>

namespace fairlead::ebpf {

namespace {

constexpr std::string_view kAuto = "auto";

std::vector<std::string> Words(std::string_view list) {
  std::vector<std::string> words;
  while (!list.empty()) {
    size_t comma = std::min(list.find(','), list.size());
    std::string_view word = list.substr(0, comma);
    while (word.starts_with(' ')) word.remove_prefix(1);
    while (word.ends_with(' ')) word.remove_suffix(1);
    if (!word.empty()) words.emplace_back(word);
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return words;
}

bool Matches(const std::vector<std::string>& globs, const std::string& name) {
  return std::ranges::any_of(
      globs, [&](const std::string& glob) { return ::fnmatch(glob.c_str(), name.c_str(), 0) == 0; });
}

bool IsContainerEnd(const NetDevice& device) {
  return device.kind == "veth" || device.kind == "netkit" || device.kind == "tun";
}

// A bridge with something behind it that is neither a container nor a virtual machine leads out of the node.
bool LeadsOut(const NetDevice& bridge, const Inventory& inventory) {
  return std::ranges::any_of(inventory, [&](const auto& entry) {
    return entry.second.master == bridge.ifindex && !IsContainerEnd(entry.second);
  });
}

bool IsHostPrefix(const Cidr& prefix) {
  return prefix.WireBits() == 128;
}

bool IsAutoUplink(const NetDevice& device, const Inventory& inventory) {
  if (device.kind == "dummy" || device.kind == "vrf") return false;
  if (device.default_route) return true;
  if (device.prefixes.empty()) return false;
  if (device.kind == "bridge") return LeadsOut(device, inventory);
  if (IsContainerEnd(device)) return !std::ranges::all_of(device.prefixes, IsHostPrefix);
  return true;
}

// A veth pair has no driver to save an skb in: one is copied into a frame first. And a packet that XDP sends
// by it is lost unless the other end has NAPI, and waits there unless that has an XDP program too
// (drivers/net/veth.c, veth_xdp_xmit, veth_xdp_flush). Only who asks for it gets it.
XdpMode WantedXdp(const NetDevice& device, const std::string& option) {
  if (option == "generic") return XdpMode::kGeneric;
  if (option == "native") return XdpMode::kNative;
  if (option == kAuto && device.kind != "veth") return XdpMode::kNative;
  return XdpMode::kNone;
}

ip_addr FirstOf(const NetDevice& device, Family family) {
  auto first = std::ranges::find(device.addresses, family, &Address::GetFamily);
  return first == device.addresses.end() ? ip_addr{} : first->raw;
}

device RowOf(const NetDevice& from, uint32_t flags) {
  device row{};
  row.nat_v4 = FirstOf(from, Family::kIpv4);
  row.nat_v6 = FirstOf(from, Family::kIpv6);
  row.flags = flags;
  std::memcpy(row.name, from.name.data(), std::min(from.name.size(), sizeof(row.name) - 1));
  return row;
}

bool IsZero(const ip_addr& addr) {
  return addr.halves[0] == 0 && addr.halves[1] == 0;
}

// The addresses of the device with the default route come first, then those of other uplinks.
device NodeRow(const Inventory& inventory, const Choice& choice) {
  std::vector<const NetDevice*> order;
  for (const auto& [ifindex, from] : inventory) {
    if (from.default_route) order.push_back(&from);
  }
  for (const auto& [ifindex, chosen] : choice.devices) {
    if (chosen.IsUplink()) order.push_back(&inventory.at(ifindex));
  }
  device row{};
  std::memcpy(row.name, "node", sizeof("node"));
  for (const NetDevice* from : order) {
    if (IsZero(row.nat_v4)) row.nat_v4 = FirstOf(*from, Family::kIpv4);
    if (IsZero(row.nat_v6)) row.nat_v6 = FirstOf(*from, Family::kIpv6);
  }
  return row;
}

}  // namespace

DeviceOptions DeviceOptions::From(const Options& options) {
  DeviceOptions made;
  made.uplinks = Words(options.devices);
  made.pods = Words(options.pod_devices);
  if (options.detect_local_mode == "BridgeInterface") made.pods.push_back(options.pod_bridge_interface);
  if (options.detect_local_mode == "InterfaceNamePrefix")
    made.pods.push_back(options.pod_interface_name_prefix + "*");
  made.direct = options.pod_delivery == "direct";
  made.xdp = options.xdp;
  return made;
}

bool PodDevicesArePods(const Options& options) {
  return options.detect_local_mode == "BridgeInterface" || options.detect_local_mode == "InterfaceNamePrefix";
}

Choice ChooseDevices(const Inventory& inventory, const DeviceOptions& options,
                     const std::set<uint32_t>& to_backends) {
  Choice choice;
  const bool automatic = std::ranges::find(options.uplinks, kAuto) != options.uplinks.end();
  for (const auto& [ifindex, from] : inventory) {
    if (from.loopback) continue;
    // A name that was given outweighs the rules, and a rule that a backend is behind the device.
    uint32_t role = 0;
    if (Matches(options.uplinks, from.name)) {
      role = DEVICE_UPLINK;
    } else if (Matches(options.pods, from.name)) {
      role = DEVICE_POD;
    } else if (automatic && IsAutoUplink(from, inventory)) {
      role = DEVICE_UPLINK;
    } else if (to_backends.contains(ifindex) && !from.default_route) {
      role = DEVICE_POD;
    }
    if (role == 0) continue;
    if (!from.ethernet) {
      choice.left_out.push_back(
          fmt::format("{}: its packets have no Ethernet header, which the packet path needs", from.name));
      continue;
    }
    ChosenDevice chosen{ifindex, from.name, {}, XdpMode::kNone};
    bool direct = options.direct && role == DEVICE_POD && from.peer_elsewhere &&
                  (from.kind == "veth" || from.kind == "netkit");
    chosen.row = RowOf(from, role | (direct ? uint32_t{DEVICE_DIRECT} : 0));
    if (role == DEVICE_UPLINK) chosen.xdp = WantedXdp(from, options.xdp);
    choice.devices.emplace(ifindex, std::move(chosen));
  }
  choice.node = NodeRow(inventory, choice);
  return choice;
}

}  // namespace fairlead::ebpf
