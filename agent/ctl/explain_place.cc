// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/explain_place.h"

#include <vector>

#include "fairlead/flags.h"

namespace fairlead::ctl {

namespace {

std::string Watched(const NodeDevices& devices) {
  std::vector<std::string> names;
  for (const auto& [ifindex, flags] : devices.flags) {
    if (flags & (DEVICE_UPLINK | DEVICE_POD)) names.push_back(devices.Name(ifindex));
  }
  return names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "));
}

Result<uint32_t> FindDevice(const std::string& name, const NodeDevices& devices) {
  for (const auto& [ifindex, known] : devices.names) {
    if (known == name) return ifindex;
  }
  return Fail(ErrorKind::kNotFound, "--device {}: no such device in this network namespace", name);
}

// The device that leads there, if it has one of the flags; else the first that has.
Result<uint32_t> DeviceWith(uint32_t flag, const std::optional<Route>& route, const NodeDevices& devices) {
  if (route && devices.Flags(route->ifindex) & flag) return route->ifindex;
  for (const auto& [ifindex, flags] : devices.flags) {
    if (flags & flag) return ifindex;
  }
  return Fail(ErrorKind::kNotFound, "no {} has a program of fairlead",
              flag == DEVICE_POD ? "pod device" : "uplink");
}

Result<explain_at> PlaceAtDevice(uint32_t ifindex, const NodeDevices& devices) {
  const uint32_t flags = devices.Flags(ifindex);
  if (flags & DEVICE_POD) return EXPLAIN_POD;
  if (flags & DEVICE_UPLINK) return EXPLAIN_UPLINK;
  return Fail(ErrorKind::kNotFound,
              "{} has no program of fairlead: what comes by it is not translated (those that have: {}); --at "
              "asks for one all the same",
              devices.Name(ifindex), Watched(devices));
}

Result<explain_at> PlaceByRoute(const std::optional<Route>& from, const NodeDevices& devices) {
  if (!from || devices.Flags(from->ifindex) & DEVICE_UPLINK) return EXPLAIN_UPLINK;
  if (from->local || !from->has_gateway) return EXPLAIN_SOCKET;
  return PlaceAtDevice(from->ifindex, devices);
}

}  // namespace

std::string NodeDevices::Name(uint32_t ifindex) const {
  auto found = names.find(ifindex);
  return found == names.end() ? fmt::format("device {}", ifindex) : found->second;
}

uint32_t NodeDevices::Flags(uint32_t ifindex) const {
  auto found = flags.find(ifindex);
  return found == flags.end() ? 0 : found->second;
}

Result<Question> PlaceQuestion(const ExplainRequest& request, const NodeDevices& devices,
                               const EndRoutes& routes) {
  std::optional<uint32_t> device;
  if (!request.device.empty()) {
    auto found = FindDevice(request.device, devices);
    if (!found) return std::unexpected(found.error());
    device = *found;
  }
  auto at = request.at ? Result<explain_at>(*request.at)
            : device   ? PlaceAtDevice(*device, devices)
                       : PlaceByRoute(routes.from, devices);
  if (!at) return std::unexpected(at.error());

  Question question{request.from, request.to, request.protocol, *at, 0, "", 0};
  if (*at == EXPLAIN_SOCKET) return question;
  if (!device) {
    auto found = DeviceWith(*at == EXPLAIN_POD ? DEVICE_POD : DEVICE_UPLINK,
                            *at == EXPLAIN_EGRESS ? routes.to : routes.from, devices);
    if (!found) return std::unexpected(found.error());
    device = *found;
  }
  question.ifindex = *device;
  question.device = devices.Name(*device);
  return question;
}

}  // namespace fairlead::ctl
