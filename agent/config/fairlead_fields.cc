// SPDX-License-Identifier: Apache-2.0
// What kube-proxy has no word for: the fields of FairleadConfiguration (fairlead.io/v1alpha1), our own flags,
// and the flags of kube-proxy's that say what to do rather than how.
#include <algorithm>
#include <bit>
#include <charconv>

#include "agent/config/take.h"
#include "agent/config/text.h"
#include "fairlead/limits.h"

namespace fairlead::config {

namespace {

// Entries of a table. The upper bounds keep every table under the 2 GiB that one array map can be mapped
// with, the lower ones leave room for the smallest cluster.
template <uint32_t kMin, uint32_t kMax>
Take TakeCapacity(uint32_t Capacities::* member, bool (*fits)(uint32_t) = nullptr,
                  std::string_view wanted = {}) {
  return [=](Draft& draft, const Value& value) -> Result<void> {
    auto entries = AsInteger(value, kMin, kMax);
    if (!entries) return Unexpected(std::move(entries).error());
    auto number = static_cast<uint32_t>(*entries);
    if (fits != nullptr && !fits(number)) {
      return Fail(ErrorKind::kInvalid, "expected {} (such as {}), got {}", wanted, std::bit_ceil(number),
                  number);
    }
    draft.options.capacities.*member = number;
    return {};
  };
}

// A frontend's slot is found by masking its hash.
bool IsPowerOfTwo(uint32_t number) {
  return std::has_single_bit(number);
}
// An element of `rings` is a cache line of slots.
bool IsWholeChunks(uint32_t number) {
  return number % RING_CHUNK_SLOTS == 0;
}

// Device names or globs, as one comma-separated text: a list or such a text in the file.
Take TakeDevices(std::string Options::* member) {
  return [=](Draft& draft, const Value& value) -> Result<void> {
    std::vector<std::string> names;
    if (value.form == Value::Form::kList) {
      auto list = AsList(value);
      if (!list) return Unexpected(std::move(list).error());
      names = *std::move(list);
    } else {
      auto text = AsText(value);
      if (!text) return Unexpected(std::move(text).error());
      names = SplitList(*text);
    }
    std::string joined;
    for (const std::string& name : names) {
      constexpr size_t kLongest = 15;  // IFNAMSIZ - 1
      if (name.empty() || name.size() > kLongest || name.find_first_of("/ ,") != std::string::npos) {
        return Fail(ErrorKind::kInvalid, "expected device names or globs of at most {} letters, got {}",
                    kLongest, Quote(name));
      }
      joined += (joined.empty() ? "" : ",") + name;
    }
    if (joined.empty()) joined = Options{}.*member;
    draft.options.*member = std::move(joined);
    return {};
  };
}

Result<void> TakeNetnsDirs(Draft& draft, const Value& value) {
  auto list = AsList(value);
  if (!list) return Unexpected(std::move(list).error());
  for (const std::string& path : *list) {
    if (auto checked = CheckAbsolutePath(path); !checked) return checked;
  }
  draft.options.netns_dirs = *std::move(list);
  return {};
}

// 0 stands for the capacity that conntrack.* and the cores give.
Result<void> TakeFlows(Draft& draft, const Value& value) {
  auto flows = AsInteger(value, 0, kMostFlows);
  if (!flows) return Unexpected(std::move(flows).error());
  if (*flows > 0 && *flows < kFewestFlows) {
    return Fail(ErrorKind::kInvalid, "expected 0 or at least {}, got {}", kFewestFlows, *flows);
  }
  draft.flows.reset();
  if (*flows > 0) draft.flows = static_cast<uint32_t>(*flows);
  return {};
}

// "30000-32767", as the API server's --service-node-port-range.
Result<void> CheckPortRange(const std::string& text) {
  auto number = [](std::string_view digits) -> unsigned {
    unsigned port = 0;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    return error == std::errc() && end == digits.data() + digits.size() && port <= 65535 ? port : 0;
  };
  size_t dash = std::min(text.find('-'), text.size());
  unsigned first = number(std::string_view(text).substr(0, dash));
  unsigned last = dash < text.size() ? number(std::string_view(text).substr(dash + 1)) : 0;
  if (first != 0 && first <= last) return {};
  return Fail(ErrorKind::kInvalid, "expected a range of ports such as 30000-32767, got {}", Quote(text));
}

// The empty text stands for the default.
Take TakeTextOrDefault(std::string Options::* member, Check check) {
  return [=](Draft& draft, const Value& value) -> Result<void> {
    if (auto taken = TakeText(member, check)(draft, value); !taken) return taken;
    if ((draft.options.*member).empty()) draft.options.*member = Options{}.*member;
    return {};
  };
}

std::vector<Field> MakeFields() {
  using enum Shape;
  return {
      {"manifests", "manifests", kOne, "file or folder of manifests instead of an API server",
       TakeText(&Options::manifests)},
      {"context", "context", kOne, "context of the kubeconfig; default: its current one",
       TakeText(&Options::context)},
      {"master", "master", kOne, "URL of the API server, over that of the kubeconfig",
       TakeText(&Options::master)},
      {"cgroup", "cgroup", kOne, "where socket programs attach; default: root of the cgroup2 mount",
       TakeText(&Options::cgroup, &CheckAbsolutePath)},
      {"bpffsDir", "bpffs-dir", kOne,
       "where maps, programs and links are pinned (default /sys/fs/bpf/fairlead)",
       TakeTextOrDefault(&Options::bpffs_dir, &CheckAbsolutePath)},
      {"sysctlDir", "sysctl-dir", kOne, "where the node's /proc/sys is writable (default there)",
       TakeTextOrDefault(&Options::sysctl_dir, &CheckAbsolutePath)},
      {"devices", "devices", kMany,
       "uplinks, globs allowed; auto: those with a node address or default route",
       TakeDevices(&Options::devices)},
      {"podDevices", "pod-devices", kMany,
       "host-side pod devices that get the packet path too, globs allowed",
       TakeDevices(&Options::pod_devices)},
      {"xdp", "xdp", kOne, "auto, native, generic or off",
       TakeWord(&Options::xdp, {"auto", "native", "generic", "off"})},
      {"podDelivery", "pod-delivery", kOne,
       "how packets from outside reach a pod: stack (the node's own, the default) or direct (past it)",
       TakeWord(&Options::pod_delivery, {"stack", "direct"})},
      {"serviceNodePortRange", "service-node-port-range", kOne,
       "the API server's; never source ports of masqueraded packets (default 30000-32767)",
       TakeTextOrDefault(&Options::nodeport_range, &CheckPortRange)},
      {"netnsDirs", "netns-dirs", kMany, "where pods' network namespaces are pinned", TakeNetnsDirs},
      {"defaultAlgorithm", "", kOne, "", TakeWord(&Options::default_algorithm, {"random", "maglev"})},
      {"refuseExternalIPs", "", kSwitch, "", TakeSwitch(&Options::refuse_external_ips)},
      {"removeKubeProxy", "remove-kube-proxy", kSwitch,
       "kube-proxy's rules go once ours serve (default true)", TakeSwitch(&Options::remove_kube_proxy)},

      {"capacities.frontends", "", kOne, "",
       TakeCapacity<16, 1U << 23>(&Capacities::frontends, &IsPowerOfTwo, "a power of two")},
      {"capacities.backends", "", kOne, "", TakeCapacity<64, 1U << 25>(&Capacities::backends)},
      {"capacities.ringSlots", "", kOne, "",
       TakeCapacity<1024, 1U << 29>(&Capacities::ring_slots, &IsWholeChunks, "a multiple of 32")},
      {"capacities.services", "", kOne, "", TakeCapacity<16, 1U << 22>(&Capacities::services)},
      {"capacities.affinity", "", kOne, "", TakeCapacity<16, 1U << 24>(&Capacities::affinity)},
      {"capacities.sourceRanges", "", kOne, "", TakeCapacity<16, 1U << 22>(&Capacities::source_ranges)},
      {"capacities.flows", "", kOne, "", TakeFlows},

      {"", "config", kOne, "KubeProxyConfiguration and FairleadConfiguration, YAML",
       TakeText(&Options::config_file)},
      {"", "write-config-to", kOne, "write the effective configuration to this file and exit",
       TakeText(&Options::write_config_to)},
      {"", "cleanup", kSwitch, "remove everything of fairlead from this node and exit",
       TakeSwitch(&Options::cleanup)},
      {"", "dry-run", kSwitch, "print the plan and exit", TakeSwitch(&Options::dry_run)},
  };
}

}  // namespace

const std::vector<Field>& FairleadFields() {
  static const std::vector<Field> fields = MakeFields();
  return fields;
}

}  // namespace fairlead::config
