// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/clsact.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/netlink.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
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

uint32_t ParentOf(DeviceHook hook) {
  return TC_H_MAKE(TC_H_CLSACT, hook == DeviceHook::kEgress ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS);
}

// What is not there need not be removed: the filter, the qdisc (EINVAL), the device.
bool IsGone(int error) {
  return error == -ENOENT || error == -EINVAL || error == -ENODEV;
}

struct Filter {
  uint32_t program_id = 0;  // 0: not of BPF
  std::string program;
  bool IsOurs() const { return std::ranges::find(kOurs, program) != std::end(kOurs); }
};

// Visits the filters of one priority, or of all (0). A device or qdisc that is not there has none.
Result<void> ForEachFilter(uint32_t ifindex, DeviceHook hook, uint32_t priority,
                           const Netlink::Visit& visit) {
  auto netlink = Netlink::Open(NETLINK_ROUTE);
  if (!netlink) return std::unexpected(netlink.error());
  tcmsg which{};
  which.tcm_family = AF_UNSPEC;
  which.tcm_ifindex = static_cast<int>(ifindex);
  which.tcm_parent = ParentOf(hook);
  which.tcm_info = TC_H_MAKE(priority << 16, 0U);
  return netlink->Ask(NetlinkRequest(RTM_GETTFILTER, NLM_F_DUMP, which), visit);
}

// The filter's own word on its program: to ask the program for its name by its id takes CAP_SYS_ADMIN.
Filter FilterFrom(const NetlinkMessage& message) {
  Filter filter;
  std::string kind;
  std::span<const std::byte> options;
  for (const NetlinkAttribute& attribute : NetlinkAttributes(message.body, sizeof(tcmsg))) {
    if (attribute.type == TCA_KIND) kind = attribute.Text();
    if (attribute.type == TCA_OPTIONS) options = attribute.value;
  }
  if (kind != "bpf") return {0, kind};
  for (const NetlinkAttribute& attribute : NetlinkAttributes(options)) {
    if (attribute.type == TCA_BPF_ID) filter.program_id = attribute.As<uint32_t>();
    if (attribute.type == TCA_BPF_NAME) filter.program = attribute.Text();
  }
  filter.program.resize(std::min(filter.program.find(":["), filter.program.size()));  // libbpf: "name:[id]"
  return filter;
}

// The filter at our priority and handle.
Result<std::optional<Filter>> Query(uint32_t ifindex, DeviceHook hook) {
  std::optional<Filter> filter;
  auto asked = ForEachFilter(ifindex, hook, kPriority, [&](const NetlinkMessage& message) {
    auto head = message.As<tcmsg>();
    if (head && head->tcm_handle == kHandle) filter = FilterFrom(message);
  });
  if (!asked) return std::unexpected(asked.error());
  return filter;
}

Result<bool> HasFilters(uint32_t ifindex) {
  bool any = false;
  for (DeviceHook hook : {DeviceHook::kIngress, DeviceHook::kEgress}) {
    auto asked = ForEachFilter(ifindex, hook, 0, [&](const NetlinkMessage&) { any = true; });
    if (!asked) return std::unexpected(asked.error());
  }
  return any;
}

// Puts the program in place of the filter's, or makes the filter; 0, or a negative errno.
int Attach(const DeviceProgram& program, uint32_t ifindex, DeviceHook hook) {
  bpf_tc_hook at = HookOf(ifindex, hook);
  bpf_tc_opts options = FilterOptions();
  options.prog_fd = program.fd;
  options.flags = BPF_TC_F_REPLACE;
  return bpf_tc_attach(&at, &options);
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
  // A program in its place would keep that program's tables for as long as the qdisc stands.
  Fd mark(
      bpf_map_create(BPF_MAP_TYPE_ARRAY, "clsact_is_ours", sizeof(uint32_t), sizeof(uint32_t), 1, nullptr));
  if (!mark) return FailErrno(errno, "{}: mark its clsact qdisc as ours", placement.device);
  return Pins::Pin(mark.Get(), QdiscPin(placement.device));
}

Result<void> Clsact::PlaceOne(const Placement& placement) const {
  auto there = Query(placement.ifindex, placement.hook);
  if (!there) return std::unexpected(std::move(there.error()).In(placement.device));
  if (const auto& filter = *there) {
    if (filter->program_id == placement.program->id) return {};
    if (!filter->IsOurs()) {
      return Fail(ErrorKind::kUnavailable,
                  "{}: program {} of somebody else has priority {} and handle {:#x} of {}", placement.device,
                  filter->program, kPriority, kHandle, DeviceHookName(placement.hook));
    }
  } else if (auto made = MakeQdisc(placement); !made) {
    return made;
  }
  int error = Attach(*placement.program, placement.ifindex, placement.hook);
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

std::vector<Leftover> Clsact::Others(std::span<const Placement> wanted, const Inventory& inventory,
                                     std::span<const DeviceProgram> programs) const {
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
      if (!there || !*there || !(*there)->IsOurs()) continue;
      const Filter& filter = **there;
      others.push_back({filter.program, hook, ifindex, device.name});
      auto program = std::ranges::find(programs, filter.program, &DeviceProgram::name);
      if (program != programs.end() && program->id != filter.program_id)
        (void)Attach(*program, ifindex, hook);  // else it goes on with the former one
    }
  }
  return others;
}

Result<void> Clsact::Detach(const Leftover& leftover) const {
  load::QuietLibbpf quiet;
  bpf_tc_hook at = HookOf(leftover.ifindex, leftover.hook);
  bpf_tc_opts options = FilterOptions();
  int error = bpf_tc_detach(&at, &options);
  if (error != 0 && !IsGone(error))
    return FailErrno(-error, "{}: remove {}", leftover.device, leftover.program);
  const std::string pin = QdiscPin(leftover.device);
  if (::access(pin.c_str(), F_OK) != 0) return {};
  auto used = HasFilters(leftover.ifindex);
  if (!used) return std::unexpected(std::move(used.error()).In(leftover.device));
  if (*used) return {};
  at.attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS);
  error = bpf_tc_hook_destroy(&at);
  if (error != 0 && !IsGone(error)) return FailErrno(-error, "{}: remove its clsact qdisc", leftover.device);
  ::unlink(pin.c_str());
  return {};
}

Result<void> RemoveFilters(const Pins& pins) {
  auto watch = DeviceWatch::Open();
  if (!watch) return std::unexpected(watch.error());
  auto inventory = watch->List();
  if (!inventory) return std::unexpected(inventory.error());
  Clsact clsact(pins);
  auto remove = [&](const NetDevice& device, DeviceHook hook) -> Result<void> {
    auto there = Query(device.ifindex, hook);
    if (!there) return std::unexpected(std::move(there.error()).In(device.name));
    if (!*there || !(*there)->IsOurs()) return {};
    return clsact.Detach({(*there)->program, hook, device.ifindex, device.name});
  };
  Result<void> outcome;
  for (const auto& [ifindex, device] : *inventory) {
    for (DeviceHook hook : {DeviceHook::kIngress, DeviceHook::kEgress}) {
      if (auto removed = remove(device, hook); !removed && outcome) outcome = std::move(removed);
    }
  }
  return outcome;
}

}  // namespace fairlead::ebpf
