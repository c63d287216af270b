// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <tuple>

#include "agent/ctl/affinity.h"
#include "agent/ctl/conntrack.h"
#include "agent/ctl/json.h"
#include "agent/ctl/text_table.h"

namespace fairlead::ctl {

namespace {

std::string ServiceName(const std::optional<plan::ServicePortKey>& service, uint32_t id) {
  return service ? ServiceText(*service) : fmt::format("(service id {})", id);
}

void AddService(JsonWriter& json, const std::optional<plan::ServicePortKey>& service, uint32_t id) {
  json.Member("namespace", service ? service->service.ns : "")
      .Member("name", service ? service->service.name : "")
      .Member("port_name", service ? service->port : "")
      .Member("service_id", id);
}

void AddEndpoint(JsonWriter& json, std::string_view name, const Endpoint& endpoint) {
  json.BeginObject(name)
      .Member("address", endpoint.address.ToString())
      .Member("port", endpoint.port)
      .EndObject();
}

std::string_view HalvesText(const Flow& flow) {
  if (flow.has_forward && flow.has_reply) return "both";
  return flow.has_forward ? "forward" : "reply";
}

std::string FlowsJson(const std::vector<Flow>& flows) {
  JsonWriter json;
  json.BeginArray();
  for (const Flow& flow : flows) {
    json.BeginObject();
    AddService(json, flow.service, flow.service_id);
    json.Member("protocol", kube::ProtocolName(flow.protocol));
    AddEndpoint(json, "client", flow.client);
    AddEndpoint(json, "frontend", flow.frontend);
    AddEndpoint(json, "backend", flow.backend);
    AddEndpoint(json, "source", flow.source);
    json.Member("backend_id", flow.backend_id)
        .Member("masqueraded", flow.masqueraded)
        .Member("local", flow.local)
        .Member("dsr", flow.dsr)
        .Member("state", flow.state)
        .Member("idle_s", flow.idle_s)
        .Member("expires_s", flow.expires_s)
        .Member("out", flow.out)
        .Member("halves", HalvesText(flow))
        .Member("packets_forward", flow.packets_forward)
        .Member("packets_reply", flow.packets_reply)
        .EndObject();
  }
  json.EndArray();
  return std::move(json).Take();
}

std::string WhereText(const Flow& flow) {
  if (flow.dsr) return "dsr";
  return flow.local ? "local" : "remote";
}

}  // namespace

std::string DurationText(uint64_t seconds) {
  const uint64_t minutes = seconds / 60, hours = minutes / 60, days = hours / 24;
  if (minutes < 2) return fmt::format("{}s", seconds);
  if (hours == 0) return fmt::format("{}m{:02}s", minutes, seconds % 60);
  if (days == 0) return fmt::format("{}h{:02}m", hours, minutes % 60);
  return fmt::format("{}d{:02}h", days, hours % 24);
}

std::string RenderFlows(std::vector<Flow> flows, Format format) {
  std::sort(flows.begin(), flows.end(), [](const Flow& a, const Flow& b) {
    return std::tie(a.service, a.frontend.address, a.frontend.port, a.client.address, a.client.port) <
           std::tie(b.service, b.frontend.address, b.frontend.port, b.client.address, b.client.port);
  });
  if (format == Format::kJson) return FlowsJson(flows);
  if (flows.empty()) return "no flows\n";
  std::vector<Column> columns = {{"SERVICE"},
                                 {"PROTOCOL"},
                                 {"CLIENT"},
                                 {"FRONTEND"},
                                 {"BACKEND"},
                                 {"SEEN AS"},
                                 {"STATE"},
                                 {"IDLE", Align::kRight},
                                 {"EXPIRES IN", Align::kRight},
                                 {"OUT"}};
  if (format == Format::kWide) {
    columns.insert(columns.end(), {{"WHERE"},
                                   {"HALVES"},
                                   {"TO BACKEND", Align::kRight},
                                   {"TO CLIENT", Align::kRight},
                                   {"BACKEND ID", Align::kRight}});
  }
  TextTable table(std::move(columns));
  for (const Flow& flow : flows) {
    const std::string source = flow.source == flow.client ? "" : flow.source.ToString();
    table.Add({ServiceName(flow.service, flow.service_id), std::string(kube::ProtocolName(flow.protocol)),
               flow.client.ToString(), flow.frontend.ToString(), flow.backend.ToString(), source, flow.state,
               DurationText(flow.idle_s), DurationText(flow.expires_s), flow.out, WhereText(flow),
               std::string(HalvesText(flow)), fmt::format("{}", flow.packets_forward),
               fmt::format("{}", flow.packets_reply), fmt::format("{}", flow.backend_id)});
  }
  return table.Render();
}

std::string RenderFlowCounts(const std::vector<Flow>& flows, Format format) {
  std::map<std::string, uint64_t> by_state;
  for (const Flow& flow : flows) ++by_state[flow.state];
  if (format == Format::kJson) {
    JsonWriter json;
    json.BeginObject().Member("flows", flows.size()).BeginObject("states");
    for (const auto& [state, count] : by_state) json.Member(state, count);
    json.EndObject().EndObject();
    return std::move(json).Take();
  }
  TextTable table({{"STATE"}, {"FLOWS", Align::kRight}});
  for (const auto& [state, count] : by_state) table.Add({state, fmt::format("{}", count)});
  table.Add({"all", fmt::format("{}", flows.size())});
  return table.Render();
}

std::string RenderClients(std::vector<RememberedClient> clients, Format format) {
  std::sort(clients.begin(), clients.end(), [](const RememberedClient& a, const RememberedClient& b) {
    return std::tie(a.service, a.idle_s, a.client) < std::tie(b.service, b.idle_s, b.client);
  });
  if (format == Format::kJson) {
    JsonWriter json;
    json.BeginArray();
    for (const RememberedClient& client : clients) {
      json.BeginObject();
      AddService(json, client.service, client.service_id);
      json.Member("client", client.client).Member("client_kind", client.by_netns ? "netns" : "address");
      AddEndpoint(json, "backend", client.backend.value_or(Endpoint{}));
      json.Member("backend_id", client.backend_id)
          .Member("holds", client.Holds())
          .Member("idle_s", client.idle_s)
          .Member("expires_s", client.expires_s)
          .EndObject();
    }
    json.EndArray();
    return std::move(json).Take();
  }
  if (clients.empty()) return "no remembered clients\n";
  TextTable table({{"SERVICE"},
                   {"PROTOCOL"},
                   {"CLIENT"},
                   {"BACKEND"},
                   {"IDLE", Align::kRight},
                   {"EXPIRES IN", Align::kRight}});
  for (const RememberedClient& client : clients) {
    table.Add({ServiceName(client.service, client.service_id),
               client.service ? std::string(kube::ProtocolName(client.service->protocol)) : "", client.client,
               client.backend ? client.backend->ToString() : fmt::format("gone (id {})", client.backend_id),
               DurationText(client.idle_s), client.Holds() ? DurationText(client.expires_s) : "over"});
  }
  return table.Render();
}

std::string RenderClientCount(const std::vector<RememberedClient>& clients, Format format) {
  const auto hold = static_cast<uint64_t>(
      std::count_if(clients.begin(), clients.end(), [](const RememberedClient& c) { return c.Holds(); }));
  if (format == Format::kJson) {
    JsonWriter json;
    json.BeginObject().Member("clients", clients.size()).Member("hold", hold).EndObject();
    return std::move(json).Take();
  }
  TextTable table({{"CLIENTS"}, {"COUNT", Align::kRight}});
  table.Add({"hold", fmt::format("{}", hold)});
  table.Add({"over", fmt::format("{}", clients.size() - hold)});
  return table.Render();
}

}  // namespace fairlead::ctl
