// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/iptables/localnet.h"

#include <fmt/format.h>

#include "agent/base/sysctl.h"

namespace fairlead::iptables {

namespace {

constexpr std::string_view kName = "net/ipv4/conf/all/route_localnet";

}  // namespace

bool HasLocalnetNote(const Run& run, const Backend& backend) {
  if (!HasTables(backend, Family::kIpv4)) return false;
  auto saved = Save(run, backend, Family::kIpv4, Table::kFilter);
  return saved && saved->contains(fmt::format("\n:{} ", kLocalnetNote));
}

Result<bool> ReadRouteLocalnet() {
  auto value = ReadSysctl(kName);
  if (!value) return Unexpected(std::move(value).error());
  return *value != "0";
}

Result<void> WriteRouteLocalnet(bool on) {
  return WriteSysctl(kName, on ? "1" : "0");
}

}  // namespace fairlead::iptables
