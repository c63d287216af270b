// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/explain_request.h"

#include <charconv>
#include <utility>

namespace fairlead::ctl {

namespace {

constexpr std::pair<explain_at, std::string_view> kPlaces[] = {
    {EXPLAIN_SOCKET, "socket"}, {EXPLAIN_UPLINK, "uplink"}, {EXPLAIN_POD, "pod"}, {EXPLAIN_EGRESS, "egress"}};

struct Split {
  std::string_view address;
  std::optional<std::string_view> port;
};

Split SplitPort(std::string_view text) {
  if (text.starts_with('[')) {
    size_t end = text.find(']');
    if (end == std::string_view::npos) return {text, std::nullopt};
    std::string_view address = text.substr(1, end - 1), rest = text.substr(end + 1);
    if (rest.empty()) return {address, std::nullopt};
    return {rest.starts_with(':') ? address : text, rest.substr(1)};
  }
  size_t colon = text.find(':');
  bool one_colon = colon != std::string_view::npos && text.find(':', colon + 1) == std::string_view::npos;
  if (!one_colon) return {text, std::nullopt};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

}  // namespace

Result<Endpoint> ParseEndpoint(std::string_view text, uint16_t default_port) {
  const Split split = SplitPort(text);
  auto address = Address::Parse(split.address);
  if (!address) return std::unexpected(address.error());
  Endpoint endpoint{*address, default_port};
  if (split.port) {
    const char* end = split.port->data() + split.port->size();
    auto [at, error] = std::from_chars(split.port->data(), end, endpoint.port);
    if (error != std::errc() || at != end || endpoint.port == 0)
      return Fail(ErrorKind::kInvalid, "\"{}\": expected a port from 1 to 65535 after the address", text);
  }
  if (endpoint.port == 0) {
    return Fail(ErrorKind::kInvalid, "\"{}\": expected a port after the address, as in {}", text,
                AddressPort(*address, 80));
  }
  return endpoint;
}

std::string_view AtName(uint32_t at) {
  for (const auto& [place, name] : kPlaces) {
    if (place == at) return name;
  }
  return "unknown";
}

std::optional<explain_at> ParseAt(std::string_view name) {
  for (const auto& [place, place_name] : kPlaces) {
    if (place_name == name) return place;
  }
  return std::nullopt;
}

Result<ExplainRequest> ParseExplainRequest(const ExplainWords& words) {
  auto from = ParseEndpoint(words.from, kExplainSourcePort);
  if (!from) return std::unexpected(std::move(from.error()).In("FROM"));
  auto to = ParseEndpoint(words.to, 0);
  if (!to) return std::unexpected(std::move(to.error()).In("TO"));
  if (from->address.GetFamily() != to->address.GetFamily()) {
    return Fail(ErrorKind::kInvalid, "FROM is {}, TO is {}: expected one family",
                FamilyName(from->address.GetFamily()), FamilyName(to->address.GetFamily()));
  }
  ExplainRequest request{*from, *to, kube::Protocol::kTcp, words.device, std::nullopt};
  if (words.protocol == "udp") {
    request.protocol = kube::Protocol::kUdp;
  } else if (words.protocol != "tcp") {
    return Fail(ErrorKind::kInvalid, "--proto \"{}\": expected tcp or udp", words.protocol);
  }
  if (!words.at.empty()) {
    request.at = ParseAt(words.at);
    if (!request.at) {
      return Fail(ErrorKind::kInvalid, "--at \"{}\": expected socket, uplink, pod or egress", words.at);
    }
  }
  return request;
}

}  // namespace fairlead::ctl
