// SPDX-License-Identifier: Apache-2.0
// The packet programs in the kernel, a writer over their tables, and one packet at a time through them:
//
//   KernelRig rig;
//   rig.Apply({PortOf("shop/cart").LoadBalancer("198.51.100.4", 80).On({"10.180.1.11:8080"})});
//   Ran ran = rig.In(Ip("203.0.113.2", "198.51.100.4").Tcp(20000, 80).Syn());
//   EXPECT_EQ(ran.Text(), "sent: uplink TRANSLATED");
//   ExpectPacket(ran.frame, ...);
//
// The world is PacketWorld. Node addresses answer NodePorts; cluster IPs are of 172.30.0.0/16, pods of
// 10.180.0.0/16, and of the IPv6 likes. Source ports may be 1024-29999. Ticks do not pass by themselves.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/datapath/ebpf/bpf_map.h"
#include "agent/datapath/ebpf/flow_table.h"
#include "agent/datapath/ebpf/memory_tables.h"
#include "agent/datapath/ebpf/writer.h"
#include "fairlead/config.h"
#include "maps/affinity.h"
#include "maps/fragments.h"
#include "test/support/ebpf/packet_programs.h"
#include "test/support/ebpf/rig.h"
#include "test/support/packet/expect.h"
#include "test/support/packet/packet.h"

namespace fairlead::test {

// What became of a packet.
struct Ran {
  std::string action;   // "pass", "drop"; "sent": out of a device, by TC or XDP
  std::string verdict;  // "uplink TRANSLATED"; "" if none was counted: NOT_OURS
  Bytes frame;
  uint32_t mark = 0;

  std::string Text() const { return verdict.empty() ? action : action + ": " + verdict; }
};
std::ostream& operator<<(std::ostream& out, const Ran& ran);

struct RigOptions {
  bool xdp = false;                                      // In() goes through xdp_uplink first
  uint32_t flows = 1024;                                 // capacity of the flow table
  std::function<void(fairlead_config&)> configure = {};  // last word on the configuration
  std::string configured = {};  // names what `configure` does; the same name, the same
};

class KernelRig {
 public:
  explicit KernelRig(const RigOptions& options = {});

  // Expects no failure.
  void Apply(std::vector<plan::Change> changes);
  void ApplyNode(const plan::NodePlan& node);
  static plan::NodePlan NodeOfWorld();
  // A row of `devices`, by the device's name; "" is row 0, the node.
  void SetDevice(const std::string& name, std::string_view v4, std::string_view v6, uint32_t flags);
  // Which source ports may be taken, inclusive.
  void SetNatPorts(uint16_t first, uint16_t last);

  // In by an uplink: through XDP, if the rig has it, and TC for what that passes.
  Ran In(std::span<const uint8_t> frame, const std::string& device = "eth0");
  Ran In(const Packet& packet, const std::string& device = "eth0") { return In(packet.Frame(), device); }
  Ran Pod(const Packet& packet, const std::string& device = "pod11") { return Run("tc_pod", packet, device); }
  Ran Egress(const Packet& packet, const std::string& device = "eth0") {
    return Run("tc_egress", packet, device);
  }
  Ran Run(std::string_view program, const Packet& packet, const std::string& device) {
    return Run(program, packet.Frame(), device);
  }
  Ran Run(std::string_view program, std::span<const uint8_t> frame, const std::string& device);
  // Without looking at counters: for floods.
  RunResult RunBare(std::string_view program, const Packet& packet,
                    const std::string& device = "eth0") const {
    return programs_->Run(program, packet.Frame(), device);
  }

  // The flow table, in words and sorted; see flow_text.h.
  std::vector<std::string> Flows() const;
  size_t FlowEntries() const;
  std::optional<flow> FlowOf(const Packet& packet) const;  // the entry with the packet's own tuple
  std::string StateOf(const Packet& packet) const;         // "established"; "none"
  // As eviction would: frees this packet's entry. False: there was none.
  bool Lose(const Packet& packet);
  // So many ticks go by.
  void Pass(uint32_t ticks);
  // So much time goes by for session affinity.
  void PassAffinity(uint32_t seconds);
  size_t AffinityEntries() const;
  // Flows by tries for a source port; [NAT_TRIES]: none was found.
  std::vector<uint64_t> NatTries() const;
  // Since the rig was made.
  uint64_t Counted(std::string_view verdict) const;  // "uplink TRANSLATED"
  uint64_t Connections(const plan::ServicePortKey& key) const;

  // A new agent over the same tables, and new programs in place of the old ones.
  void Restart();

  int MapFd(std::string_view name) const { return programs_->MapFd(name); }
  unsigned IfIndex(const std::string& device) const { return programs_->world().IfIndex(device); }
  const PacketWorld& world() const { return programs_->world(); }
  const ebpf::Tables& tables() const { return tables_; }

 private:
  struct Loaded;
  static std::shared_ptr<Loaded> Load(const RigOptions& options);
  void Empty();
  std::vector<uint64_t> Counters() const;

  RigOptions options_;
  std::shared_ptr<Loaded> loaded_;
  std::unique_ptr<PacketPrograms> replaced_;
  const PacketPrograms* programs_;
  ebpf::MemoryTable<services_table> services_{SmallCapacities().services};  // no program reads it
  ebpf::Tables tables_;
  ebpf::FlowTable flows_;
  ebpf::ManualGrace grace_;
  std::unique_ptr<ebpf::Reclaimer> reclaimer_;
  std::unique_ptr<ebpf::Writer> writer_;
  std::vector<uint64_t> counted_first_;
  std::vector<uint64_t> tried_first_;
};

}  // namespace fairlead::test
