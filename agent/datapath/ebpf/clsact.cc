// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/clsact.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>

#include "agent/base/netlink.h"
#include "agent/datapath/ebpf/device_watch.h"
#include "agent/datapath/ebpf/probe_load.h"

namespace fairlead::ebpf {

namespace {

constexpr uint32_t kPriority = 1;
constexpr uint32_t kHandle = 0xfa1;
constexpr std::string_view kOurs[] = {"tc_uplink", "tc_pod", "tc_egress"};

bpf_tc_hook HookOf(uint32_t ifindex, DeviceHook hook) {
  bpf_tc_hook at{};
  at.sz = sizeof(at);
  at.ifindex = static_cast<int>(ifindex);
  at.attach_point = hook == DeviceHook::kEgress ? BPF_TC_EGRESS : BPF_TC_INGRESS;
  return at;
}

bpf_tc_opts FilterOptions() {
  bpf_tc_opts options{};
  options.sz = sizeof(options);
  options.handle = kHandle;
  options.priority = kPriority;
  return options;
}

std::string ProgramName(uint32_t id) {
  Fd program(bpf_prog_get_fd_by_id(id));
  bpf_prog_info info{};
  uint32_t size = sizeof(info);
  if (!program || bpf_obj_get_info_by_fd(program.Get(), &info, &size) != 0) return {};
  return std::string(info.name, ::strnlen(info.name, sizeof(info.name)));
}

struct Filter {
  uint32_t program_id = 0;
  std::string program;
  bool IsOurs() const { return std::ranges::find(kOurs, program) != std::end(kOurs); }
};

// The filter at our priority and handle.
std::optional<Filter> Query(uint32_t ifindex, DeviceHook hook) {
  bpf_tc_hook at = HookOf(ifindex, hook);
  bpf_tc_opts options = FilterOptions();
  if (bpf_tc_query(&at, &options) != 0) return std::nullopt;
  return Filter{options.prog_id, ProgramName(options.prog_id)};
}

Result<bool> HasFilters(uint32_t ifindex) {
  auto netlink = Netlink::Open(NETLINK_ROUTE);
  if (!netlink) return std::unexpected(netlink.error());
  bool any = false;
  for (uint32_t parent :
       {TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS), TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)}) {
    tcmsg which{};
    which.tcm_family = AF_UNSPEC;
    which.tcm_ifindex = static_cast<int>(ifindex);
    which.tcm_parent = parent;
    auto asked = netlink->Ask(NetlinkRequest(RTM_GETTFILTER, NLM_F_DUMP, which),
                              [&](const NetlinkMessage&) { any = true; });
    if (!asked) return std::unexpected(asked.error());
  }
  return any;
}

}  // namespace

std::string Clsact::QdiscPin(const std::string& device) const {
  return pins_.ProgramPath(LinkName{"clsact", device}.ToString());
}

Result<void> Clsact::MakeQdisc(const Placement& placement) const {
  bpf_tc_hook both = HookOf(placement.ifindex, DeviceHook::kIngress);
  both.attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS);
  int error = bpf_tc_hook_create(&both);
  if (error == -EEXIST) return {};
  if (error != 0) return FailErrno(-error, "{}: make its clsact qdisc", placement.device);
  return Pins::Pin(placement.program->fd, QdiscPin(placement.device));
}

Result<void> Clsact::PlaceOne(const Placement& placement) const {
  if (auto there = Query(placement.ifindex, placement.hook)) {
    if (there->program_id == placement.program->id) return {};
    if (!there->IsOurs()) {
      return Fail(ErrorKind::kUnavailable,
                  "{}: program {} of somebody else has priority {} and handle {:#x} of {}", placement.device,
                  there->program, kPriority, kHandle, DeviceHookName(placement.hook));
    }
  } else if (auto made = MakeQdisc(placement); !made) {
    return made;
  }
  bpf_tc_hook at = HookOf(placement.ifindex, placement.hook);
  bpf_tc_opts options = FilterOptions();
  options.prog_fd = placement.program->fd;
  options.flags = BPF_TC_F_REPLACE;
  int error = bpf_tc_attach(&at, &options);
  if (error == 0) return {};
  return FailErrno(-error, "{}: attach {} to {}", placement.device, placement.program->name,
                   DeviceHookName(placement.hook));
}

std::vector<PlacementFailure> Clsact::Place(std::span<const Placement> wanted) {
  load::QuietLibbpf quiet;  // it complains of every question with the answer no
  std::vector<PlacementFailure> failures;
  for (const Placement& placement : wanted) {
    if (auto placed = PlaceOne(placement); !placed)
      failures.push_back({placement, std::move(placed.error())});
  }
  return failures;
}

std::vector<Leftover> Clsact::Others(std::span<const Placement> wanted, const Inventory& inventory) const {
  load::QuietLibbpf quiet;
  for (const std::string& pin : pins_.Programs()) {
    LinkName name = LinkName::Parse(pin);
    bool stands =
        std::ranges::any_of(inventory, [&](const auto& entry) { return entry.second.name == name.device; });
    if (!name.device.empty() && !stands) ::unlink(pins_.ProgramPath(pin).c_str());
  }
  std::vector<Leftover> others;
  for (const auto& [ifindex, device] : inventory) {
    for (DeviceHook hook : {DeviceHook::kIngress, DeviceHook::kEgress}) {
      bool is_wanted = std::ranges::any_of(wanted, [&](const Placement& placement) {
        return placement.ifindex == ifindex && placement.hook == hook;
      });
      if (is_wanted) continue;
      auto there = Query(ifindex, hook);
      if (there && there->IsOurs()) others.push_back({there->program, hook, ifindex, device.name});
    }
  }
  return others;
}

Result<void> Clsact::Detach(const Leftover& leftover) const {
  load::QuietLibbpf quiet;
  bpf_tc_hook at = HookOf(leftover.ifindex, leftover.hook);
  bpf_tc_opts options = FilterOptions();
  int error = bpf_tc_detach(&at, &options);
  if (error != 0 && error != -ENOENT)
    return FailErrno(-error, "{}: remove {}", leftover.device, leftover.program);
  const std::string pin = QdiscPin(leftover.device);
  if (::access(pin.c_str(), F_OK) != 0) return {};
  auto used = HasFilters(leftover.ifindex);
  if (!used) return std::unexpected(std::move(used.error()).In(leftover.device));
  if (*used) return {};
  at.attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS);
  error = bpf_tc_hook_destroy(&at);
  if (error != 0 && error != -ENOENT)
    return FailErrno(-error, "{}: remove its clsact qdisc", leftover.device);
  ::unlink(pin.c_str());
  return {};
}

Result<void> RemoveFilters(const Pins& pins) {
  auto watch = DeviceWatch::Open();
  if (!watch) return std::unexpected(watch.error());
  auto inventory = watch->List();
  if (!inventory) return std::unexpected(inventory.error());
  Clsact clsact(pins);
  for (const Leftover& filter : clsact.Others({}, *inventory)) {
    if (auto detached = clsact.Detach(filter); !detached) return detached;
  }
  return {};
}

}  // namespace fairlead::ebpf
