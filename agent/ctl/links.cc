// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/links.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>

#include <algorithm>

namespace fairlead::ctl {

namespace {

constexpr struct {
  const char* program;
  bpf_attach_type hook;
} kHooks[] = {
    {"sock_connect4", BPF_CGROUP_INET4_CONNECT},         {"sock_connect6", BPF_CGROUP_INET6_CONNECT},
    {"sock_sendmsg4", BPF_CGROUP_UDP4_SENDMSG},          {"sock_sendmsg6", BPF_CGROUP_UDP6_SENDMSG},
    {"sock_recvmsg4", BPF_CGROUP_UDP4_RECVMSG},          {"sock_recvmsg6", BPF_CGROUP_UDP6_RECVMSG},
    {"sock_getpeername4", BPF_CGROUP_INET4_GETPEERNAME}, {"sock_getpeername6", BPF_CGROUP_INET6_GETPEERNAME},
    {"sock_release", BPF_CGROUP_INET_SOCK_RELEASE},
};

// Of Linux 6.6; libbpf 1.1 has no names for them.
constexpr uint32_t kTcxIngress = 46;
constexpr uint32_t kTcxEgress = 47;

std::string HookName(uint32_t attach_type) {
  if (attach_type == kTcxIngress) return "tcx_ingress";
  if (attach_type == kTcxEgress) return "tcx_egress";
  const char* name = libbpf_bpf_attach_type_str(static_cast<bpf_attach_type>(attach_type));
  return name ? name : fmt::format("attach type {}", attach_type);
}

Link LinkFrom(const std::string& pin, const bpf_link_info& info) {
  Link link;
  link.name = pin;
  link.link_id = info.id;
  link.program_id = info.prog_id;
  link.device = ebpf::LinkName::Parse(pin).device;
  if (link.device.empty()) {
    link.hook = HookName(info.cgroup.attach_type);
    link.cgroup_id = info.cgroup.cgroup_id;
    return link;
  }
  link.hook = info.type == BPF_LINK_TYPE_XDP ? "xdp" : HookName(info.netns.attach_type);
  link.ifindex = info.xdp.ifindex;  // info.tcx begins with the same two members as info.netns
  char now[IF_NAMESIZE] = {};
  if (link.ifindex != 0 && ::if_indextoname(link.ifindex, now)) link.device = now;
  return link;
}

}  // namespace

Result<std::vector<Link>> ReadLinks(const ebpf::Pins& pins) {
  std::vector<Link> links;
  for (const std::string& pin : pins.Links()) {
    Fd fd(bpf_obj_get(pins.LinkPath(pin).c_str()));
    if (!fd && errno == ENOENT) continue;  // its device went meanwhile
    bpf_link_info info{};
    uint32_t size = sizeof(info);
    if (!fd) return FailErrno(errno, "{}", pins.LinkPath(pin));
    if (bpf_obj_get_info_by_fd(fd.Get(), &info, &size) != 0) return FailErrno(errno, "{}: link info", pin);
    links.push_back(LinkFrom(pin, info));
  }
  std::ranges::sort(links, {}, &Link::name);
  return links;
}

std::vector<std::string> MissingHooks(std::span<const Link> links, uint64_t cgroup_id) {
  std::vector<std::string> missing;
  for (const auto& hook : kHooks) {
    bool works = std::ranges::any_of(links, [&](const Link& link) {
      return link.name == hook.program && link.cgroup_id != 0 && link.cgroup_id == cgroup_id &&
             link.hook == HookName(hook.hook);
    });
    if (!works) missing.push_back(HookName(hook.hook));
  }
  return missing;
}

}  // namespace fairlead::ctl
