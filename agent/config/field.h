// SPDX-License-Identifier: Apache-2.0
// One row for everything that can be set: its path in the file, its flag, and how it is taken into the
// Options. The tables (kube_proxy_fields.cc, fairlead_fields.cc) are all there is to change for a new
// setting.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/config/value.h"
#include "agent/options.h"

namespace fairlead::config {

// A value of which two places of the configuration may speak, and the place that did.
template <typename T>
struct Said {
  std::optional<T> value;
  std::string where;
};

// What kube-proxy's file has once per mode: iptables:, ipvs:, nftables:.
struct ModeSection {
  Said<std::chrono::milliseconds> sync_period;
  Said<std::chrono::milliseconds> min_sync_period;
  Said<bool> masquerade_all;
  Said<int> masquerade_bit;
};

// Options while they are read. What depends on several settings waits here for Finish.
struct Draft {
  Options options;
  ModeSection iptables, ipvs, nftables;
  ModeSection flags;                   // kube-proxy's flags for these hold in more than one mode
  std::vector<std::string> ipvs_only;  // places that asked for what only ipvs mode does
  std::optional<std::string> healthz_address;
  std::optional<std::string> metrics_address;
  std::optional<int> healthz_port;
  std::optional<int> metrics_port;
  std::optional<uint32_t> flows;  // capacities.flows, not 0

  void Warn(std::string_view where, std::string_view why) {
    options.warnings.push_back(fmt::format("{}: {}", where, why));
  }
};

// Errors and warnings of a Take say what is wrong; errors without the place, warnings with it.
using Take = std::function<Result<void>(Draft&, const Value&)>;

enum class Shape {
  kSwitch,  // a flag without a value means true
  kOne,
  kMany,  // a repeated flag adds
};

struct Field {
  std::string_view path;  // "ipvs.syncPeriod"; empty: not in the file
  std::string_view flag;  // "ipvs-sync-period"; empty: not on the command line
  Shape shape = Shape::kOne;
  std::string_view help;  // empty: of a flag, that it has no effect; left out of --help
  Take take;
};

// A field somebody set, and to what.
struct Setting {
  const Field* field = nullptr;
  Value value;
};

// KubeProxyConfiguration and every flag of kube-proxy: what has an effect here, then what has none.
const std::vector<Field>& KubeProxyFields();
std::vector<Field> KubeProxyFieldsWithoutEffect();
// FairleadConfiguration and the flags of our own.
const std::vector<Field>& FairleadFields();

// Settles what depends on several settings, and checks it.
Result<void> Finish(Draft& draft);

// "10.0.0.1:80", "[::1]:80", or an address alone, to which `port` is added. kInvalid otherwise, port 0
// included.
Result<std::string> NormalizeBindAddress(std::string_view text, int port);

}  // namespace fairlead::config
