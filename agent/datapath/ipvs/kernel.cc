// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ipvs/kernel.h"

#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <optional>
#include <utility>

namespace fairlead::ipvs {

namespace {

// Firewall mark of the server that TryScheduler makes: "fair".
constexpr uint32_t kTrialMark = 0x66616972;

// union nf_inet_addr: 16 bytes, IPv4 in the first four.
void PutAddress(NetlinkRequest& request, uint16_t type, const Address& address) {
  uint8_t bytes[16] = {};
  std::ranges::copy(address.Bytes(), bytes);
  request.Add(type, bytes);
}

uint16_t KernelFamily(const Address& address) {
  return address.GetFamily() == Family::kIpv4 ? AF_INET : AF_INET6;
}

void PutKey(NetlinkRequest& request, const ServerKey& key) {
  request.AddValue<uint16_t>(IPVS_SVC_ATTR_AF, KernelFamily(key.address));
  request.AddValue<uint16_t>(IPVS_SVC_ATTR_PROTOCOL, static_cast<uint16_t>(key.protocol));
  PutAddress(request, IPVS_SVC_ATTR_ADDR, key.address);
  request.AddValue<uint16_t>(IPVS_SVC_ATTR_PORT, htons(key.port));
}

// Affinity is by whole addresses: a mask for IPv4, a prefix length for IPv6.
void PutOptions(NetlinkRequest& request, uint16_t family, const ServerOptions& options) {
  request.AddText(IPVS_SVC_ATTR_SCHED_NAME, options.scheduler);
  request.AddValue(IPVS_SVC_ATTR_FLAGS, ip_vs_flags{options.flags, ~0U});
  request.AddValue<uint32_t>(IPVS_SVC_ATTR_TIMEOUT, options.affinity_timeout_s);
  request.AddValue<uint32_t>(IPVS_SVC_ATTR_NETMASK, family == AF_INET ? ~0U : 128);
}

void PutBackend(NetlinkRequest& request, const Step& step) {
  PutAddress(request, IPVS_DEST_ATTR_ADDR, step.backend.address);
  request.AddValue<uint16_t>(IPVS_DEST_ATTR_PORT, htons(step.backend.port));
  request.AddValue<uint16_t>(IPVS_DEST_ATTR_ADDR_FAMILY, KernelFamily(step.backend.address));
  if (step.verb == Verb::kRemoveBackend) return;
  request.AddValue<uint32_t>(IPVS_DEST_ATTR_FWD_METHOD, IP_VS_CONN_F_MASQ);
  request.AddValue<uint32_t>(IPVS_DEST_ATTR_WEIGHT, step.weight);
  request.AddValue<uint32_t>(IPVS_DEST_ATTR_U_THRESH, 0);
  request.AddValue<uint32_t>(IPVS_DEST_ATTR_L_THRESH, 0);
}

uint8_t CommandOf(Verb verb) {
  static constexpr uint8_t kCommands[] = {IPVS_CMD_NEW_SERVICE, IPVS_CMD_SET_SERVICE, IPVS_CMD_DEL_SERVICE,
                                          IPVS_CMD_NEW_DEST,    IPVS_CMD_SET_DEST,    IPVS_CMD_DEL_DEST};
  return kCommands[static_cast<size_t>(verb)];
}

// The attribute nested in a message of the family.
std::vector<NetlinkAttribute> Nested(const NetlinkMessage& message, uint16_t type) {
  for (const NetlinkAttribute& attribute : NetlinkAttributes(message.body, sizeof(genlmsghdr))) {
    if (attribute.type == type) return NetlinkAttributes(attribute.value);
  }
  return {};
}

// Nothing for a server that goes by firewall mark.
std::optional<std::pair<ServerKey, ServerOptions>> ReadServer(const NetlinkMessage& message) {
  ServerKey key;
  ServerOptions options;
  uint16_t family = 0;
  std::span<const std::byte> address;
  for (const NetlinkAttribute& attribute : Nested(message, IPVS_CMD_ATTR_SERVICE)) {
    switch (attribute.type) {
      case IPVS_SVC_ATTR_AF:
        family = attribute.As<uint16_t>();
        break;
      case IPVS_SVC_ATTR_FWMARK:
        return std::nullopt;
      case IPVS_SVC_ATTR_PROTOCOL:
        key.protocol = static_cast<plan::Protocol>(attribute.As<uint16_t>());
        break;
      case IPVS_SVC_ATTR_ADDR:
        address = attribute.value;
        break;
      case IPVS_SVC_ATTR_PORT:
        key.port = ntohs(attribute.As<uint16_t>());
        break;
      case IPVS_SVC_ATTR_SCHED_NAME:
        options.scheduler = attribute.Text();
        break;
      case IPVS_SVC_ATTR_FLAGS:
        options.flags = attribute.As<ip_vs_flags>().flags & ~uint32_t{IP_VS_SVC_F_HASHED};
        break;
      case IPVS_SVC_ATTR_TIMEOUT:
        options.affinity_timeout_s = attribute.As<uint32_t>();
        break;
      default:
        break;
    }
  }
  if (address.empty()) return std::nullopt;
  key.address = Address::FromBytes(family == AF_INET ? Family::kIpv4 : Family::kIpv6, address);
  // The kernel keeps a timeout for a server without persistence too.
  if ((options.flags & IP_VS_SVC_F_PERSISTENT) == 0) options.affinity_timeout_s = 0;
  return std::pair(key, options);
}

struct ReadBackend {
  BackendKey key;
  uint32_t weight = 0;
  Connections connections;
};

ReadBackend ReadBackendOf(const ServerKey& server, const NetlinkMessage& message) {
  ReadBackend read;
  uint16_t family = KernelFamily(server.address);  // Linux before 3.18 does not say it
  std::span<const std::byte> address;
  for (const NetlinkAttribute& attribute : Nested(message, IPVS_CMD_ATTR_DEST)) {
    switch (attribute.type) {
      case IPVS_DEST_ATTR_ADDR:
        address = attribute.value;
        break;
      case IPVS_DEST_ATTR_ADDR_FAMILY:
        family = attribute.As<uint16_t>();
        break;
      case IPVS_DEST_ATTR_PORT:
        read.key.port = ntohs(attribute.As<uint16_t>());
        break;
      case IPVS_DEST_ATTR_WEIGHT:
        read.weight = attribute.As<uint32_t>();
        break;
      case IPVS_DEST_ATTR_ACTIVE_CONNS:
        read.connections.active = attribute.As<uint32_t>();
        break;
      case IPVS_DEST_ATTR_INACT_CONNS:
        read.connections.inactive = attribute.As<uint32_t>();
        break;
      default:
        break;
    }
  }
  read.key.address = Address::FromBytes(family == AF_INET ? Family::kIpv4 : Family::kIpv6, address);
  return read;
}

}  // namespace

Result<std::unique_ptr<NetlinkKernel>> NetlinkKernel::Open() {
  auto netlink = Netlink::Open(NETLINK_GENERIC);
  if (!netlink) return std::unexpected(netlink.error());
  NetlinkRequest request(GENL_ID_CTRL, 0, genlmsghdr{CTRL_CMD_GETFAMILY, 1, 0});
  request.AddText(CTRL_ATTR_FAMILY_NAME, IPVS_GENL_NAME);
  uint16_t family = 0;
  auto asked = netlink->Ask(request, [&](const NetlinkMessage& message) {
    for (const NetlinkAttribute& attribute : NetlinkAttributes(message.body, sizeof(genlmsghdr))) {
      if (attribute.type == CTRL_ATTR_FAMILY_ID) family = attribute.As<uint16_t>();
    }
  });
  if (!asked && asked.error().code == ENOENT)
    return Fail(ErrorKind::kUnsupported, "IPVS: this kernel has it neither built in nor as module ip_vs");
  if (!asked) return std::unexpected(std::move(asked.error()).In("IPVS"));
  return std::make_unique<NetlinkKernel>(std::move(*netlink), family);
}

NetlinkRequest NetlinkKernel::Request(uint8_t command, uint16_t flags) const {
  return {family_, flags, genlmsghdr{command, IPVS_GENL_VERSION, 0}};
}

NetlinkRequest NetlinkKernel::RequestOf(const Step& step) const {
  NetlinkRequest request = Request(CommandOf(step.verb), NLM_F_ACK);
  request.Nest(IPVS_CMD_ATTR_SERVICE, [&](NetlinkRequest& nested) {
    PutKey(nested, step.server);
    if (step.verb == Verb::kAddServer || step.verb == Verb::kSetServer)
      PutOptions(nested, KernelFamily(step.server.address), step.options);
  });
  if (step.verb >= Verb::kAddBackend)
    request.Nest(IPVS_CMD_ATTR_DEST, [&](NetlinkRequest& nested) { PutBackend(nested, step); });
  return request;
}

Result<PresentServers> NetlinkKernel::List() {
  PresentServers servers;
  auto asked = netlink_.Ask(Request(IPVS_CMD_GET_SERVICE, NLM_F_DUMP), [&](const NetlinkMessage& message) {
    if (auto read = ReadServer(message)) servers[read->first].options = std::move(read->second);
  });
  if (!asked) return std::unexpected(std::move(asked.error()).In("IPVS: list the virtual servers"));
  for (auto it = servers.begin(); it != servers.end();) {
    Weights& backends = it->second.backends;
    auto listed = ListBackends(it->first, [&](const BackendKey& backend, uint32_t weight, Connections) {
      backends[backend] = weight;
    });
    const bool gone = !listed && listed.error().kind == ErrorKind::kNotFound;  // meanwhile
    if (!listed && !gone) return std::unexpected(listed.error());
    it = gone ? servers.erase(it) : std::next(it);
  }
  return servers;
}

Result<void> NetlinkKernel::ListBackends(
    const ServerKey& key, const std::function<void(const BackendKey&, uint32_t, Connections)>& visit) {
  NetlinkRequest request = Request(IPVS_CMD_GET_DEST, NLM_F_DUMP);
  request.Nest(IPVS_CMD_ATTR_SERVICE, [&](NetlinkRequest& nested) { PutKey(nested, key); });
  auto asked = netlink_.Ask(request, [&](const NetlinkMessage& message) {
    const ReadBackend read = ReadBackendOf(key, message);
    visit(read.key, read.weight, read.connections);
  });
  if (asked) return {};
  if (asked.error().code == ESRCH) asked.error().kind = ErrorKind::kNotFound;
  return std::unexpected(std::move(asked.error()).In("IPVS: list the backends of " + key.ToString()));
}

Result<std::map<BackendKey, Connections>> NetlinkKernel::ConnectionsOf(const ServerKey& server) {
  std::map<BackendKey, Connections> connections;
  auto listed = ListBackends(
      server, [&](const BackendKey& backend, uint32_t, Connections of) { connections[backend] = of; });
  if (!listed) return std::unexpected(listed.error());
  return connections;
}

Result<std::vector<int>> NetlinkKernel::Do(std::span<const Step> steps) {
  std::vector<NetlinkRequest> requests;
  requests.reserve(steps.size());
  for (const Step& step : steps) requests.push_back(RequestOf(step));
  std::vector<int> errors(steps.size(), 0);
  auto asked = netlink_.AskAll(requests, [&](size_t index, int error) { errors[index] = error; });
  if (!asked) return std::unexpected(std::move(asked.error()).In("IPVS"));
  return errors;
}

Result<void> NetlinkKernel::SetTimeouts(const Timeouts& timeouts) {
  if (timeouts.tcp.count() + timeouts.tcp_fin.count() + timeouts.udp.count() == 0) return {};
  NetlinkRequest request = Request(IPVS_CMD_SET_CONFIG, NLM_F_ACK);
  const auto put = [&](uint16_t type, std::chrono::seconds timeout) {
    if (timeout.count() != 0) request.AddValue<uint32_t>(type, static_cast<uint32_t>(timeout.count()));
  };
  put(IPVS_CMD_ATTR_TIMEOUT_TCP, timeouts.tcp);
  put(IPVS_CMD_ATTR_TIMEOUT_TCP_FIN, timeouts.tcp_fin);
  put(IPVS_CMD_ATTR_TIMEOUT_UDP, timeouts.udp);
  auto asked = netlink_.Ask(request, [](const NetlinkMessage&) {});
  if (!asked) return std::unexpected(std::move(asked.error()).In("IPVS: set the timeouts"));
  return {};
}

Result<std::string> NetlinkKernel::Version() {
  uint32_t version = 0;
  auto asked = netlink_.Ask(Request(IPVS_CMD_GET_INFO, 0), [&](const NetlinkMessage& message) {
    for (const NetlinkAttribute& attribute : NetlinkAttributes(message.body, sizeof(genlmsghdr))) {
      if (attribute.type == IPVS_INFO_ATTR_VERSION) version = attribute.As<uint32_t>();
    }
  });
  if (!asked) return std::unexpected(std::move(asked.error()).In("IPVS"));
  return fmt::format("{}.{}.{}", version >> 16, version >> 8 & 0xff, version & 0xff);
}

Result<void> NetlinkKernel::TryScheduler(const std::string& scheduler) {
  const auto ask = [&](uint8_t command) {
    NetlinkRequest request = Request(command, NLM_F_ACK);
    request.Nest(IPVS_CMD_ATTR_SERVICE, [&](NetlinkRequest& nested) {
      nested.AddValue<uint16_t>(IPVS_SVC_ATTR_AF, AF_INET);
      nested.AddValue<uint32_t>(IPVS_SVC_ATTR_FWMARK, kTrialMark);
      if (command == IPVS_CMD_NEW_SERVICE) PutOptions(nested, AF_INET, {scheduler, 0, 0});
    });
    return netlink_.Ask(request, [](const NetlinkMessage&) {});
  };
  auto made = ask(IPVS_CMD_NEW_SERVICE);
  if (!made && made.error().code == EEXIST) {  // an agent died between the two
    (void)ask(IPVS_CMD_DEL_SERVICE);
    made = ask(IPVS_CMD_NEW_SERVICE);
  }
  if (!made && made.error().code == ENOENT)
    return Fail(ErrorKind::kUnsupported, "IPVS: scheduler {}: this kernel has no module ip_vs_{}", scheduler,
                scheduler);
  if (!made) return std::unexpected(std::move(made.error()).In("IPVS: scheduler " + scheduler));
  return ask(IPVS_CMD_DEL_SERVICE);
}

}  // namespace fairlead::ipvs
