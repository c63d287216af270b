// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/device_links.h"

#include <bpf/bpf.h>
#include <linux/if_link.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "agent/base/log.h"

namespace fairlead::ebpf {

namespace {

// Of Linux 6.6; the headers of Debian 12 are older.
constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46);
constexpr auto kTcxEgress = static_cast<bpf_attach_type>(47);

bpf_attach_type AttachType(DeviceHook hook) {
  if (hook == DeviceHook::kXdp) return BPF_XDP;
  return hook == DeviceHook::kEgress ? kTcxEgress : kTcxIngress;
}

}  // namespace

// Links of ours to devices. What cannot be read is as good as gone: it is replaced.
std::vector<DeviceLinks::Link> DeviceLinks::Read() const {
  std::vector<Link> links;
  for (const std::string& pin : pins_.Links()) {
    Link link;
    link.name = LinkName::Parse(pin);
    if (link.name.device.empty()) continue;
    link.fd = Fd(bpf_obj_get(pins_.LinkPath(pin).c_str()));
    bpf_link_info info{};
    uint32_t size = sizeof(info);
    if (link.fd && bpf_obj_get_info_by_fd(link.fd.Get(), &info, &size) == 0) {
      link.ifindex = info.xdp.ifindex;  // info.tcx begins with the same member, and names the hook next
      link.program_id = info.prog_id;
      link.hook = info.type == BPF_LINK_TYPE_XDP         ? DeviceHook::kXdp
                  : info.netns.attach_type == kTcxEgress ? DeviceHook::kEgress
                                                         : DeviceHook::kIngress;
    }
    links.push_back(std::move(link));
  }
  return links;
}

Result<void> DeviceLinks::Create(const Placement& placement) const {
  bpf_link_create_opts options{};
  options.sz = sizeof(options);
  if (placement.hook == DeviceHook::kXdp)
    options.flags = placement.mode == XdpMode::kGeneric ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
  Fd link(bpf_link_create(placement.program->fd, static_cast<int>(placement.ifindex),
                          AttachType(placement.hook), &options));
  if (!link) {
    return FailErrno(errno, "{}: attach {} to {}", placement.device, placement.program->name,
                     DeviceHookName(placement.hook));
  }
  return Pins::Pin(link.Get(),
                   pins_.LinkPath(LinkName{placement.program->name, placement.device}.ToString()));
}

// The link goes on with the present program, under the present name of its device.
Result<void> DeviceLinks::Renew(const Placement& placement, const Link& link) const {
  if (link.program_id != placement.program->id &&
      bpf_link_update(link.fd.Get(), placement.program->fd, nullptr) != 0) {
    const int error = errno;
    // A device takes one XDP program: the former one would go on, and another link be refused.
    if (placement.hook == DeviceHook::kXdp) bpf_link_detach(link.fd.Get());
    return FailErrno(error, "{}: renew {}", placement.device, placement.program->name);
  }
  if (link.name.device == placement.device) return {};
  return Pins::Pin(link.fd.Get(),
                   pins_.LinkPath(LinkName{placement.program->name, placement.device}.ToString()));
}

Result<void> DeviceLinks::PlaceOne(const Placement& placement, const Link* there) const {
  const bool xdp = placement.hook == DeviceHook::kXdp;
  if (there && xdp && placement.present != placement.mode) {
    bpf_link_detach(there->fd.Get());  // the mode of a link is for life
    there = nullptr;
  } else if (!there && xdp && placement.present != XdpMode::kNone) {
    return Unexpected(Error{ErrorKind::kUnavailable, EBUSY,
                            fmt::format("{}: another XDP program is attached; it stays", placement.device)});
  }
  if (there && Renew(placement, *there)) return {};
  return Create(placement);  // also in place of a link that cannot be updated: it is pinned over it
}

std::vector<PlacementFailure> DeviceLinks::Place(std::span<const Placement> wanted) {
  const std::vector<Link> links = Read();
  std::vector<PlacementFailure> failures;
  std::set<std::string> kept;
  for (const Placement& placement : wanted) {
    auto there = std::ranges::find_if(links, [&](const Link& link) {
      return link.name.program == placement.program->name && link.ifindex == placement.ifindex;
    });
    auto placed = PlaceOne(placement, there == links.end() ? nullptr : &*there);
    if (placed) kept.insert(LinkName{placement.program->name, placement.device}.ToString());
    if (!placed) failures.push_back({placement, std::move(placed.error())});
  }
  // Devices that are gone, and former names. `links` has held what they were pins of until here.
  for (const Link& link : links) {
    const std::string pin = link.name.ToString();
    bool renamed = std::ranges::any_of(wanted, [&](const Placement& placement) {
      return link.name.program == placement.program->name && link.ifindex == placement.ifindex &&
             link.name.device != placement.device;
    });
    if ((link.ifindex == 0 || renamed) && !kept.contains(pin)) ::unlink(pins_.LinkPath(pin).c_str());
  }
  return failures;
}

std::vector<Leftover> DeviceLinks::Others(std::span<const Placement> wanted,
                                          std::span<const DeviceProgram> programs) const {
  std::vector<Leftover> others;
  for (const Link& link : Read()) {
    bool is_wanted = std::ranges::any_of(wanted, [&](const Placement& placement) {
      return link.name.program == placement.program->name && link.ifindex == placement.ifindex;
    });
    if (is_wanted) continue;
    auto program = std::ranges::find(programs, link.name.program, &DeviceProgram::name);
    if (program == programs.end()) {
      spdlog::info("{}: {} detached", link.name.device, link.name.program);
      pins_.Detach(link.name.ToString());
      continue;
    }
    others.push_back({link.name.program, link.hook, link.ifindex, link.name.device});
    if (program->id != link.program_id)
      (void)bpf_link_update(link.fd.Get(), program->fd, nullptr);  // else it goes on with the former one
  }
  return others;
}

void DeviceLinks::Detach(const Leftover& leftover) const {
  pins_.Detach(LinkName{leftover.program, leftover.device}.ToString());
}

}  // namespace fairlead::ebpf
