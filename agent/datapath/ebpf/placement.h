// SPDX-License-Identifier: Apache-2.0
// Words for "this program on this hook of this device", shared by the ways to get it there (device_links.h,
// clsact.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/base/error.h"
#include "agent/datapath/ebpf/devices.h"

namespace fairlead::ebpf {

enum class DeviceHook { kIngress, kEgress, kXdp };

constexpr std::string_view DeviceHookName(DeviceHook hook) {
  return hook == DeviceHook::kXdp ? "xdp" : hook == DeviceHook::kEgress ? "tc egress" : "tc ingress";
}

// A loaded program that is for devices.
struct DeviceProgram {
  std::string name;
  int fd = -1;  // not owned
  uint32_t id = 0;
};

struct Placement {
  const DeviceProgram* program = nullptr;
  DeviceHook hook = DeviceHook::kIngress;
  uint32_t ifindex = 0;
  std::string device;
  XdpMode mode = XdpMode::kNone;     // kXdp: wanted
  XdpMode present = XdpMode::kNone;  // kXdp: in which mode the device has a program now, whoever attached it
};

struct PlacementFailure {
  Placement placement;
  Error error;
};

// A program of ours on a device that no placement is about.
struct Leftover {
  std::string program;
  DeviceHook hook = DeviceHook::kIngress;
  uint32_t ifindex = 0;
  std::string device;
};

}  // namespace fairlead::ebpf
