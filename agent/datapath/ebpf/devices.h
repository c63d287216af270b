// SPDX-License-Identifier: Apache-2.0
// Which network devices get the packet path, and as what. Pure: from an inventory of the node's devices to
// the rows of `devices`.
//
// An uplink is where packets from elsewhere arrive: with `auto`, a device with a default route, or with an
// address of the node that others can route to. Not uplinks by themselves: loopback, dummy and VRF devices
// (nothing arrives there), bridges that have only containers or virtual machines behind them (docker0, cni0,
// virbr0), and host ends of pods' veth pairs, which CNI plugins give the gateway's address as /32. Overlay
// devices are: answers of backends on other nodes arrive there.
//
// A pod's device is one by which a backend of this node is reached, or one that --pod-devices names.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/address.h"
#include "agent/options.h"
#include "maps/devices.h"

namespace fairlead::ebpf {

enum class XdpMode { kNone, kNative, kGeneric };

// A device of this network namespace, as rtnetlink describes it.
struct NetDevice {
  uint32_t ifindex = 0;
  std::string name;
  std::string kind;     // "veth", "bridge", "vxlan", ...; empty for hardware
  uint32_t master = 0;  // ifindex of the bridge or bond it belongs to
  bool loopback = false;
  bool ethernet = false;        // frames have an Ethernet header
  bool peer_elsewhere = false;  // the other end is in another network namespace
  bool default_route = false;   // the node's default route of some family goes out here
  XdpMode xdp = XdpMode::kNone;
  std::vector<Cidr> prefixes;      // of the node's addresses here, link-local ones excluded
  std::vector<Address> addresses;  // the same; those to prefer as a source first
};
using Inventory = std::map<uint32_t, NetDevice>;  // by ifindex

struct DeviceOptions {
  std::vector<std::string> uplinks = {"auto"};  // globs; "auto" is the rule above
  std::vector<std::string> pods;                // globs
  bool direct = false;       // --pod-delivery: packets may enter pods past the node's stack
  std::string xdp = "auto";  // "auto", "native", "generic", "off"

  static DeviceOptions From(const Options& options);
};

// The local-traffic detector goes by device: what comes from a pod's device is a pod's.
bool PodDevicesArePods(const Options& options);

struct ChosenDevice {
  uint32_t ifindex = 0;
  std::string name;
  device row{};
  XdpMode xdp = XdpMode::kNone;  // wanted; kNative may be refused by the driver

  bool IsUplink() const { return row.flags & DEVICE_UPLINK; }
};

struct Choice {
  std::map<uint32_t, ChosenDevice> devices;  // by ifindex
  device node{};                             // row 0: the node's own addresses
  std::vector<std::string> left_out;  // "wg0: ...": chosen by the rules, but of a kind that is not served
};

// `to_backends`: devices by which backends of this node are reached.
Choice ChooseDevices(const Inventory& inventory, const DeviceOptions& options,
                     const std::set<uint32_t>& to_backends);

}  // namespace fairlead::ebpf
