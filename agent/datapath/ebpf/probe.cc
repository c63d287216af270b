// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/probe.h"

#include <cerrno>

#include "agent/datapath/ebpf/pins.h"
#include "agent/datapath/ebpf/probe_host.h"
#include "agent/datapath/ebpf/probe_load.h"

namespace fairlead::ebpf {

namespace {

// EPERM: the kernel may well have it, but not for us.
Outcome OutcomeOf(const Error& error) {
  return error.code == EPERM ? Outcome::kError : Outcome::kNo;
}

class Probes {
 public:
  void Add(std::string name, bool required, const Result<std::string>& result, std::string meaning) {
    ProbeResult probe;
    probe.name = std::move(name);
    probe.outcome = result ? Outcome::kYes : OutcomeOf(result.error());
    probe.detail = result ? *result : result.error().message;
    probe.meaning = std::move(meaning);
    probe.required = required;
    results_.push_back(std::move(probe));
  }
  void Add(std::string name, bool required, const Result<void>& result, std::string meaning) {
    auto with_text = result ? Result<std::string>("") : std::unexpected(result.error());
    Add(std::move(name), required, with_text, std::move(meaning));
  }
  std::vector<ProbeResult> Take() && { return std::move(results_); }

 private:
  std::vector<ProbeResult> results_;
};

Result<std::string> Capabilities() {
  auto missing = host::MissingCapabilities();
  if (!missing || missing->empty()) return missing;
  return Unexpected(Error{ErrorKind::kUnavailable, EPERM, fmt::format("this process has no {}", *missing)});
}

Result<std::string> CgroupPath(const std::string& path) {
  auto cgroup = OpenCgroup(path);
  if (!cgroup) return std::unexpected(cgroup.error());
  return cgroup->path;
}

// Both families; the first that is refused.
Result<void> Hooks(bpf_attach_type v4, bpf_attach_type v6) {
  if (auto loaded = load::Hook(v4); !loaded) return std::unexpected(std::move(loaded.error()).In("IPv4"));
  if (auto loaded = load::Hook(v6); !loaded) return std::unexpected(std::move(loaded.error()).In("IPv6"));
  return {};
}

void AddRequired(Probes& probes, const ProbeOptions& options) {
  probes.Add("capabilities", true, Capabilities(), "rights to load and attach programs");
  probes.Add("bpf_syscall", true, load::Syscall(), "BPF at all");
  probes.Add("cgroup2", true, CgroupPath(options.cgroup), "where the socket programs attach");
  probes.Add("bpffs", true, host::BpfFs(options.bpffs_dir), "tables and links outlive the agent");
  probes.Add("btf", true, host::KernelBtf(), "programs fit themselves to this kernel");
  probes.Add("cgroup_connect", true, Hooks(BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_INET6_CONNECT),
             "connect() to a Service is translated");
  probes.Add("cgroup_sendmsg", true, Hooks(BPF_CGROUP_UDP4_SENDMSG, BPF_CGROUP_UDP6_SENDMSG),
             "UDP without connect() is translated");
  probes.Add("cgroup_recvmsg", true, Hooks(BPF_CGROUP_UDP4_RECVMSG, BPF_CGROUP_UDP6_RECVMSG),
             "UDP answers come from the Service's address");
  probes.Add("cgroup_getpeername", true, Hooks(BPF_CGROUP_INET4_GETPEERNAME, BPF_CGROUP_INET6_GETPEERNAME),
             "getpeername() says the Service's address");
  probes.Add("cgroup_link", true, load::CgroupLink(), "programs are replaced without a gap");
  probes.Add("mmap_array", true, load::MmapArray(), "a change of a Service is one store");
  probes.Add("set_retval", true, load::SetRetval(), "a refused connect() is ECONNREFUSED, not EPERM");
  probes.Add("socket_storage", true, load::SocketStorage(), "sockets remember their translation");
  probes.Add("netns_cookie", true, load::NetnsCookie(), "pods are told apart: affinity, loopback NodePorts");
  probes.Add("tc", true, load::Tc(), "packets from elsewhere are translated");
  probes.Add("storage_iterator", true, load::StorageIterator(), "UDP sockets of removed backends are found");
  probes.Add("programs", true, load::OurPrograms(), "the programs of this release load");
}

void AddOptional(Probes& probes) {
  probes.Add("sock_destroy", false, host::SockDestroy(),
             "UDP sockets of removed backends are closed; without it their owners have to notice");
  probes.Add(
      "cast_kfuncs", false, load::CastKfuncs(),
      "loadBalancerSourceRanges hold for pods; without it such an address is not translated at the socket");
  probes.Add("tcx", false, load::Tcx(),
             "programs on devices are links; without it they are filters of the clsact qdisc");
  probes.Add("xdp", false, load::Xdp(),
             "packets for backends elsewhere are sent on by the driver, where it can; TC does the same");
}

}  // namespace

std::string_view OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kYes:
      return "yes";
    case Outcome::kNo:
      return "no";
    case Outcome::kError:
      return "error";
  }
  return "";
}

std::vector<ProbeResult> ProbeKernel(const ProbeOptions& options) {
  load::QuietLibbpf quiet;
  Probes probes;
  probes.Add("kernel", false, Result<std::string>(host::KernelRelease()), "6.1 and later are tested");
  AddRequired(probes, options);
  AddOptional(probes);
  return std::move(probes).Take();
}

bool CanRunEbpf(std::span<const ProbeResult> results, std::string* reason) {
  std::vector<const ProbeResult*> missing;
  size_t required = 0;
  for (const ProbeResult& probe : results) {
    if (!probe.required) continue;
    ++required;
    if (probe.outcome != Outcome::kYes) missing.push_back(&probe);
  }
  // Without the right to ask, the answers after it say nothing.
  if (!missing.empty() && missing.front()->outcome == Outcome::kError) missing.resize(1);
  std::vector<std::string> words;
  for (const ProbeResult* probe : missing)
    words.push_back(fmt::format("{} ({})", probe->name, probe->detail));
  if (reason) {
    *reason = required == 0     ? "nothing was probed"
              : missing.empty() ? "this kernel has everything it needs"
                                : fmt::format("missing {}", fmt::join(words, ", "));
  }
  return required > 0 && missing.empty();
}

}  // namespace fairlead::ebpf
