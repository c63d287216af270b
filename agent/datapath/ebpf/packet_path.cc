// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/packet_path.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "agent/base/log.h"

namespace fairlead::ebpf {

namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kResync{30};
constexpr std::chrono::seconds kRetry{2};
constexpr milliseconds kGather{10};  // words about one device come in a bunch
// Between passes: at most a tenth of the thread's time goes to them.
constexpr milliseconds kPauseMin{20};
constexpr int kPauseFactor = 9;
constexpr size_t kReportedMax = 1000;

bool SameRow(const device& a, const device& b) {
  return std::memcmp(&a, &b, sizeof(a)) == 0;
}

}  // namespace

PacketPath::PacketPath(DeviceOptions options, Parts parts, DeviceWatch watch)
    : options_(std::move(options)),
      parts_(std::move(parts)),
      watch_(std::move(watch)),
      links_(parts_.pins),
      clsact_(parts_.pins),
      departures_(parts_.programs.pod.name, parts_.in_use, parts_.delays),
      leaves_established_(parts_.leave_established) {}

Result<std::unique_ptr<PacketPath>> PacketPath::Open(DeviceOptions options, Parts parts) {
  auto watch = DeviceWatch::Open();
  if (!watch) return std::unexpected(watch.error());
  return std::unique_ptr<PacketPath>(new PacketPath(std::move(options), std::move(parts), std::move(*watch)));
}

void PacketPath::Apply(std::span<const plan::Change> changes) {
  std::vector<Address> came;
  if (!backends_.Apply(changes, &came)) return;
  due_ = std::min(due_, earliest_);
  // Before a frontend points at a new pod here: the first answer comes by its device. Nothing is detached
  // yet: frontends still point at the pods that went.
  if (!committed_ || std::ranges::all_of(came, [this](const Address& to) { return IsServed(to); })) return;
  auto passed = Pass(false);
  if (!passed) ReportOnce(spdlog::level::warn, passed.error().message + "; trying again");
  due_ = std::min(due_, passed ? earliest_ : Clock::now() + kRetry);
}

// Whether the device to it has its row, and so its program; also if there is no such device yet, whose event
// will come.
bool PacketPath::IsServed(const Address& backend) {
  auto device = watch_.DeviceTo(backend);
  return device && (!*device || rows_.contains(**device));
}

Result<void> PacketPath::Commit() {
  auto passed = Pass();
  committed_ = passed.has_value();
  return passed;
}

void PacketPath::Prune() {
  pruned_ = true;
  due_ = std::min(due_, earliest_);
}

void PacketPath::EndLeaving() {
  leaves_established_ = false;
  due_ = std::min(due_, earliest_);
}

PacketPath::Clock::time_point PacketPath::Poll(Clock::time_point now) {
  bool changed = watch_.Drain([this](const Cidr& prefix) { return backends_.AnyIn(prefix); });
  if (!committed_) return now + kResync;
  if (changed) due_ = std::min(due_, std::max(now + kGather, earliest_));
  if (now < due_) return due_;
  if (auto passed = Pass(); !passed) {
    ReportOnce(spdlog::level::warn, passed.error().message + "; devices stay as they are, trying again");
    due_ = Clock::now() + kRetry;
  }
  return due_;
}

// Without `detach`, what is no longer wanted is not even looked for.
Result<void> PacketPath::Pass(bool detach) {
  const auto began = Clock::now();
  due_ = began + kResync;
  auto inventory = watch_.List();
  if (!inventory) return std::unexpected(inventory.error());
  const ToBackends to_backends = DevicesToBackends();
  Choice choice = ChooseDevices(*inventory, options_, to_backends.devices);
  Announce(choice);

  std::erase_if(refused_, [&](uint32_t ifindex) { return !inventory->contains(ifindex); });
  std::vector<Placement> wanted = PlacementsOn(choice, *inventory);
  WriteRows(choice);
  Place(wanted);
  if (std::exchange(earlier_serves_, false)) WriteRows(choice);
  if (detach) {
    bool may_detach = pruned_ && to_backends.complete;
    std::set<uint32_t> kept = DetachOthers(wanted, *inventory, choice, may_detach);
    if (to_backends.complete) RemoveRows(choice, kept);
  }
  const auto ended = Clock::now();
  earliest_ = ended + std::max<Clock::duration>(kPauseMin, (ended - began) * kPauseFactor);
  return {};
}

PacketPath::ToBackends PacketPath::DevicesToBackends() {
  ToBackends found;
  for (const auto& [address, uses] : backends_.uses()) {
    auto device = watch_.DeviceTo(address);
    if (device && *device) found.devices.insert(**device);
    if (device) continue;
    found.complete = false;
    due_ = std::min(due_, Clock::now() + kRetry);
    ReportOnce(spdlog::level::warn, device.error().message + "; no device is left by now, trying again");
  }
  return found;
}

std::vector<Placement> PacketPath::PlacementsOn(const Choice& choice, const Inventory& inventory) const {
  const PacketPrograms& programs = parts_.programs;
  std::vector<Placement> placements;
  for (const auto& [ifindex, chosen] : choice.devices) {
    auto add = [&](const DeviceProgram& program, DeviceHook hook) {
      placements.push_back({&program, hook, ifindex, chosen.name, XdpMode::kNone, XdpMode::kNone});
    };
    if (!chosen.IsUplink()) {
      // Answers that the stack routes to a pod whose sockets are not seen.
      add(programs.egress, DeviceHook::kEgress);
      add(programs.pod, DeviceHook::kIngress);
      continue;
    }
    add(programs.egress, DeviceHook::kEgress);
    add(programs.uplink, DeviceHook::kIngress);
    if (chosen.xdp == XdpMode::kNone || !programs.xdp || refused_.contains(ifindex)) continue;
    add(*programs.xdp, DeviceHook::kXdp);
    placements.back().mode = chosen.xdp;
    placements.back().present = inventory.at(ifindex).xdp;
  }
  // A flow begins at an uplink: what its answers need stands before.
  std::ranges::stable_partition(placements, [&](const Placement& placement) {
    return placement.program == &programs.egress || placement.program == &programs.pod;
  });
  return placements;
}

void PacketPath::Place(std::span<const Placement> wanted) {
  std::vector<Placement> by_link, by_filter;
  for (const Placement& placement : wanted) {
    bool link = parts_.tcx || placement.hook == DeviceHook::kXdp;
    (link ? by_link : by_filter).push_back(placement);
  }
  // Without tcx the links are XDP's, by which flows begin.
  for (const PlacementFailure& failure : clsact_.Place(by_filter)) Report(failure);
  for (const PlacementFailure& failure : links_.Place(by_link)) Report(failure);
}

// Devices that keep a program though they are not chosen.
std::set<uint32_t> PacketPath::DetachOthers(std::span<const Placement> wanted, const Inventory& inventory,
                                            const Choice& choice, bool may_detach) {
  std::set<uint32_t> kept;
  std::vector<DeviceProgram> programs = {parts_.programs.uplink, parts_.programs.egress, parts_.programs.pod};
  if (parts_.programs.xdp) programs.push_back(*parts_.programs.xdp);
  std::vector<Leftover> links = links_.Others(wanted, programs);
  std::vector<Leftover> filters;
  if (!parts_.tcx) filters = clsact_.Others(wanted, inventory, programs);
  const auto now = Clock::now();
  std::vector<Leftover> all = links;
  all.insert(all.end(), filters.begin(), filters.end());
  departures_.Note(all, now);
  auto stays = [&](const Leftover& leftover) {
    bool at_once = choice.devices.contains(leftover.ifindex) || !inventory.contains(leftover.ifindex);
    bool keep = !may_detach || !(at_once || departures_.MayGo(leftover, now));
    if (keep) kept.insert(leftover.ifindex);
    if (!keep) spdlog::info("{}: {} detached", leftover.device, leftover.program);
    return keep;
  };
  for (const Leftover& leftover : links) {
    if (!stays(leftover)) links_.Detach(leftover);
  }
  for (const Leftover& leftover : filters) {
    if (stays(leftover)) continue;
    if (auto detached = clsact_.Detach(leftover); !detached) spdlog::warn("{}", detached.error().message);
  }
  due_ = std::min(due_, departures_.next());
  return kept;
}

void PacketPath::WriteRows(const Choice& choice) {
  auto write = [&](uint32_t ifindex, const device& row) {
    auto known = rows_.find(ifindex);
    if (known != rows_.end() && SameRow(known->second, row)) return;
    if (auto written = parts_.devices.Update(ifindex, row); !written) {
      ReportOnce(spdlog::level::err, written.error().message);
      due_ = std::min(due_, Clock::now() + kRetry);
      return;
    }
    rows_[ifindex] = row;
  };
  if (rows_.empty()) {
    (void)parts_.devices.ForEach([&](const uint32_t& ifindex, const device& row) { rows_[ifindex] = row; });
    const bool done_before = rows_.contains(0) && !(rows_[0].flags & DEVICE_EARLIER_SERVES);
    earlier_serves_ = parts_.earlier_serves && !done_before && !links_.Any();
  }
  device node = choice.node;
  if (earlier_serves_) node.flags |= DEVICE_EARLIER_SERVES;
  if (!leaves_established_) node.flags |= DEVICE_NONE_EARLIER;
  write(0, node);
  for (const auto& [ifindex, chosen] : choice.devices) write(ifindex, chosen.row);
}

void PacketPath::RemoveRows(const Choice& choice, const std::set<uint32_t>& kept) {
  std::erase_if(rows_, [&](const auto& entry) {
    uint32_t ifindex = entry.first;
    if (ifindex == 0 || choice.devices.contains(ifindex) || kept.contains(ifindex)) return false;
    return parts_.devices.Delete(ifindex).has_value();
  });
}

// What was chosen, when it is not what it was.
void PacketPath::Announce(const Choice& choice) {
  std::vector<std::string> uplinks, pods;
  for (const auto& [ifindex, chosen] : choice.devices)
    (chosen.IsUplink() ? uplinks : pods).push_back(chosen.name);
  if (!uplinks_ || *uplinks_ != uplinks) {
    if (uplinks.empty()) {
      spdlog::warn(
          "no device is an uplink, so packets from elsewhere are not translated: --devices names some");
    } else {
      spdlog::info("uplinks: {}", fmt::join(uplinks, " "));
    }
  }
  if (pods_ != pods)
    spdlog::debug("pods' devices: {}", pods.empty() ? "none" : fmt::format("{}", fmt::join(pods, " ")));
  uplinks_ = std::move(uplinks);
  pods_ = std::move(pods);
  for (const std::string& device : choice.left_out) ReportOnce(spdlog::level::warn, "not served: " + device);
}

void PacketPath::Report(const PlacementFailure& failure) {
  const Error& error = failure.error;
  if (error.code == ENODEV || error.code == EADDRNOTAVAIL)
    return;  // it went meanwhile: its event is on the way
  if (failure.placement.hook != DeviceHook::kXdp) {
    ReportOnce(spdlog::level::err, error.message + "; trying again");
    due_ = std::min(due_, Clock::now() + kRetry);
  } else if (error.code == EBUSY || error.code == EEXIST) {
    ReportOnce(spdlog::level::warn, error.message + "; TC does the work alone");
  } else {
    refused_.insert(failure.placement.ifindex);  // a driver does not change its mind
    ReportOnce(options_.xdp == "auto" ? spdlog::level::info : spdlog::level::err,
               fmt::format("{}: no XDP in {} mode ({}); TC does the work alone", failure.placement.device,
                           failure.placement.mode == XdpMode::kGeneric ? "generic" : "native",
                           error.code != 0 ? std::strerror(error.code) : error.message));
  }
}

void PacketPath::ReportOnce(spdlog::level::level_enum level, const std::string& message) {
  if (reported_.size() >= kReportedMax) reported_.clear();
  if (reported_.insert(message).second) spdlog::log(level, "{}", message);
}

}  // namespace fairlead::ebpf
