// SPDX-License-Identifier: Apache-2.0
#include "test/support/oracle_case.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <regex>
#include <stdexcept>
#include <tuple>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/base/address.h"

namespace fairlead::test {
namespace {

using Strings = std::vector<std::string>;

std::string Text(const YAML::Node& node, const char* field) {
  return node[field].as<std::string>();
}
std::string Text(const YAML::Node& node, const char* field, const char* otherwise) {
  return node[field] ? node[field].as<std::string>() : otherwise;
}

// A field that may be missing; so may `node` itself be.
YAML::Node Field(const YAML::Node& node, const char* field) {
  return node && node.IsMap() && node[field] ? YAML::Node(node[field]) : YAML::Node();
}

Strings Words(const YAML::Node& node) {
  return node && !node.IsNull() ? node.as<Strings>() : Strings{};
}

OracleFlow::Expect ReadExpect(const std::string& word) {
  if (word == "backends") return OracleFlow::Expect::kBackends;
  if (word == "reject") return OracleFlow::Expect::kReject;
  if (word == "drop") return OracleFlow::Expect::kDrop;
  if (word == "passthrough") return OracleFlow::Expect::kPassthrough;
  throw std::runtime_error(fmt::format("expect.result \"{}\" is unknown", word));
}

OracleFlow::From ReadFrom(const std::string& word) {
  if (word == "pod-local") return OracleFlow::From::kPod;
  if (word == "node") return OracleFlow::From::kNode;
  if (word == "localhost") return OracleFlow::From::kLocalhost;
  if (word == "pod-remote" || word == "external") return OracleFlow::From::kElsewhere;
  throw std::runtime_error(fmt::format("from.kind \"{}\" is unknown", word));
}

// What a flow expects in one mode.
struct Expectation {
  YAML::Node expect;  // as the field of that name
  std::string skip;   // or why there is none
};

// SCTP is none of ebpf mode's programs' business: the nftables datapath beside them has it.
Mode ServingMode(const YAML::Node& node, Mode mode) {
  return mode == Mode::kEbpf && Text(node, "proto") == "SCTP" ? Mode::kNftables : mode;
}

// The base, or what the case says of the mode. Where nothing is said of ebpf mode it has the stricter: an
// undefined port of a cluster IP, which iptables lets through and nftables rejects.
Expectation ExpectationIn(const YAML::Node& node, Mode mode) {
  const YAML::Node modes = Field(node, "modes");
  mode = ServingMode(node, mode);
  const YAML::Node own = Field(modes, std::string(Word(mode)).c_str());
  if (const YAML::Node skip = Field(own, "skip"); skip.IsScalar()) return {{}, skip.as<std::string>()};
  if (const YAML::Node expect = Field(own, "expect"); expect.IsMap()) return {expect, ""};
  const YAML::Node in_nftables = Field(Field(modes, "nftables"), "expect");
  if (mode == Mode::kEbpf && in_nftables.IsMap() && Text(in_nftables, "result") == "reject")
    return {in_nftables, ""};
  return {node["expect"], ""};
}

void ReadExpectation(const YAML::Node& expect, OracleFlow& flow) {
  flow.expect = ReadExpect(Text(expect, "result"));
  flow.backends = Words(Field(expect, "backends"));
  flow.masquerade = Text(expect, "masquerade", "false") == "true";
  flow.masquerade_backends = Words(Field(expect, "masqueradeBackends"));
  flow.sticky = Text(expect, "sticky", "false") == "true";
  flow.same_backend_as = Text(expect, "sameBackendAs", "");
  flow.must_stay_on = Words(Field(expect, "mustStayOn"));
}

OracleFlow ReadFlow(const YAML::Node& node, Mode mode) {
  OracleFlow flow;
  const YAML::Node from = node["from"];
  flow.name = Text(node, "name");
  flow.from = ReadFrom(Text(from, "kind"));
  flow.from_ip = Text(from, "ip");
  if (from["port"]) flow.from_port = from["port"].as<uint16_t>();
  const auto to = Address::Parse(Text(node, "to"));
  if (!to) throw std::runtime_error(fmt::format("flow {}: to: {}", flow.name, to.error().message));
  flow.to = AddressPort(*to, node["port"].as<uint16_t>());
  flow.protocol = Text(node, "proto");
  flow.same_socket = Text(node, "sameSocket", "false") == "true";
  const Expectation expectation = ExpectationIn(node, mode);
  flow.skip = expectation.skip;
  if (flow.skip.empty()) ReadExpectation(expectation.expect, flow);
  return flow;
}

OracleHttp ReadHttp(const YAML::Node& node) {
  OracleHttp http;
  http.port = node["port"].as<uint16_t>();
  http.path = Text(node, "path");
  http.status = node["expect"]["status"].as<int>();
  for (const auto& field : Field(node["expect"], "json"))
    http.json[field.first.as<std::string>()] = field.second.as<std::string>();
  return http;
}

OracleHealthCheck ReadHealthCheck(const YAML::Node& node) {
  OracleHealthCheck check;
  check.port = node["port"].as<uint16_t>();
  const YAML::Node expect = node["expect"];
  check.closed = Text(expect, "closed", "false") == "true";
  if (check.closed) return check;
  check.status = expect["status"].as<int>();
  check.name_space = Text(expect["service"], "namespace");
  check.service = Text(expect["service"], "name");
  check.local_endpoints = Text(expect, "localEndpoints");
  check.proxy_healthy = Text(expect, "serviceProxyHealthy");
  for (const auto& header : expect["headers"]) {
    std::string name = header.first.as<std::string>();
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
    check.headers[name] = header.second.as<std::string>();
  }
  return check;
}

// Clients of this node's pods are seen at their sockets, others by their packets.
OracleEntry ReadEntry(const YAML::Node& node, bool kept) {
  const std::string source = Text(node, "origSrc");
  OracleEntry entry;
  entry.client = source.substr(0, source.rfind(':'));
  entry.from = entry.client.starts_with("10.180.0.") ? OracleFlow::From::kPod : OracleFlow::From::kElsewhere;
  entry.to = Text(node, "origDst");
  entry.backend = Text(node, "replySrc");
  entry.protocol = Text(node, "proto");
  entry.kept = kept;
  return entry;
}

std::vector<OracleEntry> ReadEntries(const YAML::Node& conntrack, Mode mode) {
  std::vector<OracleEntry> entries;
  // Skipped, with its reason.
  if (Field(Field(conntrack, "modes"), std::string(Word(mode)).c_str()).IsMap()) return entries;
  for (const auto& entry : Field(conntrack, "flushed")) entries.push_back(ReadEntry(entry, false));
  for (const auto& entry : Field(conntrack, "kept")) entries.push_back(ReadEntry(entry, true));
  return entries;
}

std::string Identity(const std::string& kind, const std::string& name_space, const std::string& name) {
  return fmt::format("{} {}/{}", kind, name_space, name);
}

void ApplyObjects(const YAML::Node& list, OracleObjects& objects) {
  for (const auto& object : list) {
    const YAML::Node meta = object["metadata"];
    const std::string identity =
        Identity(Text(object, "kind"), Text(meta, "namespace", ""), Text(meta, "name"));
    objects.erase(identity);  // assigning to a YAML::Node would change the node that earlier states hold
    objects.emplace(identity, YAML::Node(object));
  }
}

// Checks of a case or a step; `objects` is the state they are made in.
OracleStep ReadChecks(const YAML::Node& node, OracleObjects objects, Mode mode) {
  OracleStep step;
  step.objects = std::move(objects);
  for (const auto& flow : Field(node, "flows")) step.flows.push_back(ReadFlow(flow, mode));
  for (const auto& http : Field(node, "http")) step.http.push_back(ReadHttp(http));
  for (const auto& check : Field(node, "healthChecks")) step.health_checks.push_back(ReadHealthCheck(check));
  for (const auto& metric : Field(node, "metrics"))
    step.metrics.push_back(
        {Text(metric, "name"), metric["internal"].as<int>(), metric["external"].as<int>()});
  step.entries = ReadEntries(Field(node, "conntrack"), mode);
  return step;
}

// The Node object of the node under test, which `objects` of a case may replace.
YAML::Node ThisNode(const YAML::Node& node) {
  YAML::Node object;
  object["apiVersion"] = "v1";
  object["kind"] = "Node";
  object["metadata"]["name"] = Text(node, "name");
  if (node["zone"]) object["metadata"]["labels"]["topology.kubernetes.io/zone"] = Text(node, "zone");
  Strings addresses{Text(node, "ip")};
  std::ranges::copy(Words(Field(node, "ips6")), std::back_inserter(addresses));
  for (const auto& address : addresses) {
    YAML::Node entry;
    entry["type"] = "InternalIP";
    entry["address"] = address;
    object["status"]["addresses"].push_back(entry);
  }
  return object;
}

OracleCase ReadDocument(const YAML::Node& document, Mode mode) {
  OracleCase read;
  read.name = Text(document, "name");
  read.about = Text(document, "about");
  const YAML::Node cluster = document["cluster"];
  read.cluster.cidr = Text(cluster, "clusterCIDR");
  read.cluster.nodeport_addresses = Words(Field(cluster, "nodePortAddresses"));
  read.cluster.masquerade_all = Text(cluster, "masqueradeAll", "false") == "true";
  if (const YAML::Node config = Field(cluster, "config"); config.IsMap()) {
    read.cluster.detect_local = Text(config, "detectLocal", "ClusterCIDR");
    read.cluster.localhost_nodeports = Text(config, "localhostNodePorts", "true") == "true";
  }
  OracleObjects objects;
  for (const auto& entry : cluster["nodes"]) {
    const YAML::Node node = entry;
    if (Text(node, "name") != Text(cluster, "node")) continue;
    objects.emplace(Identity("Node", "", Text(node, "name")), ThisNode(node));
    for (const auto& address : Words(Field(node, "altIPs")))
      read.cluster.more_addresses.push_back(address + "/24");
  }
  ApplyObjects(Field(document, "objects"), objects);
  read.steps.push_back(ReadChecks(document, objects, mode));
  for (const auto& node : Field(document, "steps")) {
    ApplyObjects(Field(node, "apply"), objects);
    for (const auto& gone : Field(node, "delete"))
      objects.erase(Identity(Text(gone, "kind"), Text(gone, "namespace", ""), Text(gone, "name")));
    read.steps.push_back(ReadChecks(node, objects, mode));
    read.steps.back().name = Text(node, "name");
  }
  return read;
}

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      quoted += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

std::string Scalar(const YAML::Node& node) {
  static const std::regex plain("-?[0-9]+|true|false|null");
  const std::string text = node.Scalar();
  const bool was_quoted = node.Tag() == "!";
  return !was_quoted && std::regex_match(text, plain) ? text : Quoted(text);
}

std::string ToJson(const YAML::Node& node) {
  if (node.IsScalar()) return Scalar(node);
  Strings parts;
  if (node.IsSequence()) {
    for (const auto& item : node) parts.push_back(ToJson(item));
    return fmt::format("[{}]", fmt::join(parts, ","));
  }
  if (node.IsMap()) {
    for (const auto& field : node)
      parts.push_back(fmt::format("{}:{}", Quoted(field.first.Scalar()), ToJson(field.second)));
    return fmt::format("{{{}}}", fmt::join(parts, ","));
  }
  return "null";
}

}  // namespace

OracleCase ReadOracleCase(const std::string& path, Mode mode) {
  try {
    return ReadDocument(YAML::LoadFile(path), mode);
  } catch (const std::exception& e) {
    throw std::runtime_error(fmt::format("{}: {}", path, e.what()));
  }
}

std::vector<OracleCase> ReadOracleCases(const std::string& folder, Mode mode) {
  std::vector<OracleCase> cases;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".yaml") cases.push_back(ReadOracleCase(entry.path(), mode));
  }
  std::ranges::sort(cases, [](const OracleCase& a, const OracleCase& b) {
    return std::tie(a.cluster, a.name) < std::tie(b.cluster, b.name);
  });
  return cases;
}

std::string ToJsonList(const OracleObjects& objects) {
  Strings items;
  for (const auto& [identity, object] : objects) items.push_back(ToJson(object));
  return fmt::format("{{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[{}]}}\n", fmt::join(items, ",\n"));
}

std::vector<std::pair<std::string, uint16_t>> EndpointsOf(const OracleObjects& objects) {
  std::vector<std::pair<std::string, uint16_t>> found;
  for (const auto& [identity, object] : objects) {
    if (Text(object, "kind") != "EndpointSlice") continue;
    for (const auto& endpoint : Field(object, "endpoints")) {
      for (const auto& address : Words(Field(endpoint, "addresses"))) {
        if (!Address::Parse(address)) continue;  // addressType FQDN
        for (const auto& port : Field(object, "ports")) {
          const YAML::Node number = Field(port, "port");
          if (number.IsScalar()) found.emplace_back(address, number.as<uint16_t>());
        }
      }
    }
  }
  return found;
}

}  // namespace fairlead::test
