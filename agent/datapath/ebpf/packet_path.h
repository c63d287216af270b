// SPDX-License-Identifier: Apache-2.0
// Keeps the packet path on the node's devices: chooses them, writes their rows in `devices`, attaches the
// programs, and follows devices, addresses, routes and local backends as they come and go.
//
// Level-triggered: each pass compares what there is with what there should be, so that a lost event heals
// with the next pass, at the latest after 30 s. Attaches nothing before Commit; detaches nothing before
// Prune but programs that this run does not have.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/base/log.h"
#include "agent/datapath/ebpf/clsact.h"
#include "agent/datapath/ebpf/departures.h"
#include "agent/datapath/ebpf/device_links.h"
#include "agent/datapath/ebpf/device_watch.h"
#include "agent/datapath/ebpf/local_backends.h"
#include "agent/datapath/ebpf/table.h"

namespace fairlead::ebpf {

// The programs by their hook. All but `xdp` are needed.
struct PacketPrograms {
  DeviceProgram uplink;  // ingress of uplinks
  DeviceProgram egress;  // egress of uplinks
  DeviceProgram pod;     // ingress of pods' devices, host side
  std::optional<DeviceProgram> xdp;
};

class PacketPath {
 public:
  using Clock = std::chrono::steady_clock;

  struct Parts {
    const Pins& pins;
    PacketPrograms programs;
    KeyedTable<devices_table>& devices;
    Departures::InUse in_use;
    bool tcx = true;  // this kernel has it
    Departures::Delays delays = {};
    bool leave_established = false;
    bool earlier_serves = false;  // another proxy, until Prune
  };

  static Result<std::unique_ptr<PacketPath>> Open(DeviceOptions options, Parts parts);

  // The backends of this node, as part of service ports.
  void Apply(std::span<const plan::Change> changes);
  // From now on programs are attached. Fails only if the devices cannot be read; what one device refuses is
  // reported, once, and tried again.
  Result<void> Commit();
  // From now on what is no longer wanted is detached, when it may be (departures.h).
  void Prune();

  // No connection of an earlier proxy is left.
  void EndLeaving();

  // A pass if one is due. When it wants to be called again at the latest; sooner when fd() is readable.
  Clock::time_point Poll(Clock::time_point now);
  int fd() const { return watch_.fd(); }

 private:
  PacketPath(DeviceOptions options, Parts parts, DeviceWatch watch);

  struct ToBackends {
    std::set<uint32_t> devices;
    bool complete = true;  // the way to every backend could be asked for
  };

  Result<void> Pass(bool detach = true);
  bool IsServed(const Address& backend);
  ToBackends DevicesToBackends();
  std::vector<Placement> PlacementsOn(const Choice& choice, const Inventory& inventory) const;
  void Place(std::span<const Placement> wanted);
  std::set<uint32_t> DetachOthers(std::span<const Placement> wanted, const Inventory& inventory,
                                  const Choice& choice, bool may_detach);
  void WriteRows(const Choice& choice);
  void RemoveRows(const Choice& choice, const std::set<uint32_t>& kept);
  void Announce(const Choice& choice);
  void Report(const PlacementFailure& failure);
  void ReportOnce(spdlog::level::level_enum level, const std::string& message);

  DeviceOptions options_;
  Parts parts_;
  DeviceWatch watch_;
  LocalBackends backends_;
  DeviceLinks links_;
  Clsact clsact_;
  Departures departures_;
  bool leaves_established_;
  bool earlier_serves_ = false;  // until programs have been put on every device
  bool committed_ = false;
  bool pruned_ = false;
  Clock::time_point due_{};                          // of the next pass
  Clock::time_point earliest_{};                     // passes keep a distance, whatever happens meanwhile
  std::map<uint32_t, device> rows_;                  // of `devices`, as written
  std::set<uint32_t> refused_;                       // ifindexes whose driver does not take XDP
  std::optional<std::vector<std::string>> uplinks_;  // as announced
  std::vector<std::string> pods_;
  std::set<std::string> reported_;
};

}  // namespace fairlead::ebpf
