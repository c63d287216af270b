// SPDX-License-Identifier: Apache-2.0
#include "test/support/ebpf/story.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/datapath/ebpf/memory_tables.h"
#include "agent/datapath/ebpf/writer.h"
#include "agent/model/cluster.h"
#include "agent/plan/planner.h"
#include "test/support/ebpf/dump.h"
#include "test/support/ebpf/rig.h"
#include "test/support/objects.h"

namespace fairlead::test {

namespace {

using Words = std::vector<std::string>;

Words Split(const std::string& text, char separator) {
  Words words;
  std::istringstream stream(text);
  for (std::string word; std::getline(stream, word, separator);) {
    if (!word.empty()) words.push_back(word);
  }
  return words;
}

[[noreturn]] void Wrong(const std::string& what) {
  throw std::runtime_error(what);
}

// "key=value" of a word; the key is the whole word where there is no '='.
std::pair<std::string, std::string> Pair(const std::string& word) {
  size_t at = word.find('=');
  return at == std::string::npos ? std::pair(word, std::string())
                                 : std::pair(word.substr(0, at), word.substr(at + 1));
}

uint16_t Number(const std::string& text) {
  size_t used = 0;
  int number = -1;
  try {
    number = std::stoi(text, &used);
  } catch (const std::exception&) {
  }
  if (number < 0 || number > 65535 || used != text.size()) Wrong(text + " is no port number");
  return static_cast<uint16_t>(number);
}

// NAME:PORT[/udp] for a Service or a Slice.
template <typename Object>
void AddPort(Object& object, const std::string& text) {
  size_t colon = text.find(':');
  if (colon == std::string::npos) Wrong("port=" + text + ": expected NAME:PORT");
  size_t slash = text.find('/', colon);
  object.Port(text.substr(0, colon), Number(text.substr(colon + 1, slash - colon - 1)));
  if (slash == std::string::npos) return;
  std::string protocol = text.substr(slash + 1);
  if (protocol == "udp") {
    object.Udp();
  } else {
    Wrong("port=" + text + ": expected /udp or nothing");
  }
}

Service ParseService(const Words& words) {
  Service service(words.at(1));
  for (size_t i = 2; i < words.size(); ++i) {
    auto [key, value] = Pair(words[i]);
    if (key == "clusterip") {
      service.ClusterIp(value);
    } else if (key == "port") {
      AddPort(service, value);
    } else if (key == "nodeport") {
      service.NodePort(Number(value));
    } else if (key == "externalip") {
      service.ExternalIp(value);
    } else if (key == "lb") {
      service.LoadBalancerIp(value);
    } else if (key == "range") {
      service.SourceRange(value);
    } else if (key == "affinity") {
      service.Affinity(Number(value));
    } else if (key == "external-local") {
      service.ExternalLocal();
    } else if (key == "internal-local") {
      service.InternalLocal();
    } else if (key == "other-proxy") {
      service.OtherProxy();
    } else if (key == "created") {
      service.CreatedAt(std::stoll(value));
    } else if (key.starts_with("set:")) {
      service.Setting(key.substr(4), value);
    } else {
      Wrong("service: unknown word " + words[i]);
    }
  }
  return service;
}

void AddEndpoint(Slice& slice, const std::string& text) {
  Words parts = Split(text, ',');
  size_t at = parts.at(0).find('@');
  slice.Endpoint(parts[0].substr(0, at));
  if (at != std::string::npos) slice.On(parts[0].substr(at + 1));
  for (size_t i = 1; i < parts.size(); ++i) {
    auto [key, value] = Pair(parts[i]);
    if (key == "notready") {
      slice.Ready(false);
    } else if (key == "notserving") {
      slice.Serving(false);
    } else if (key == "terminating") {
      slice.Terminating();
    } else if (key == "zone") {
      slice.Zone(value);
    } else if (key == "on") {
      slice.NodeHint(value);
    } else {
      Wrong("endpoint: unknown word " + parts[i]);
    }
  }
}

Slice ParseSlice(const Words& words) {
  Slice slice(words.at(1));
  for (size_t i = 2; i < words.size(); ++i) {
    auto [key, value] = Pair(words[i]);
    if (key == "name") {
      slice.Named(value);
    } else if (key == "ipv6") {
      slice.Ipv6();
    } else if (key == "port") {
      AddPort(slice, value);
    } else {
      AddEndpoint(slice, words[i]);
    }
  }
  return slice;
}

plan::NodeFacts ParseNode(const Words& words) {
  plan::NodeFacts facts;
  facts.name = words.at(1);
  facts.localhost_nodeports = false;
  for (size_t i = 2; i < words.size(); ++i) {
    auto [key, value] = Pair(words[i]);
    if (key == "zone") {
      facts.zone = value;
    } else if (key == "nodeports") {
      facts.nodeport_cidrs.push_back(Range(value));
    } else if (key == "loopback-nodeports") {
      facts.localhost_nodeports = true;
    } else if (key == "refuse-external-ips") {
      facts.refuse_external_ips = true;
    } else if (key == "masquerade-all") {
      facts.masquerade_all = true;
    } else if (key == "pods") {
      facts.detects_pods = true;
      facts.cluster_cidrs.push_back(Range(value));
    } else if (key == "algorithm") {
      facts.default_algorithm = value == "maglev" ? plan::Algorithm::kMaglev : plan::Algorithm::kRandom;
    } else {
      facts.addresses.push_back(Addr(words[i]));
    }
  }
  return facts;
}

// The writer of one agent run over tables that fail now and then.
struct Run {
  Run(ebpf::MemoryTables& memory, unsigned fault_percent)
      : services(memory.services, fault_percent, 17),
        source_ranges(memory.source_ranges, fault_percent, 23),
        reclaimer(grace),
        writer(View(memory), reclaimer) {}

  ebpf::Tables View(ebpf::MemoryTables& memory) {
    ebpf::Tables tables = memory.View();
    tables.services = &services;
    tables.source_ranges = &source_ranges;
    return tables;
  }

  void Restore() {
    auto findings = writer.Restore();
    if (!findings) Wrong(findings.error().message);
    if (!findings->empty()) Wrong(fmt::format("restart: {}", fmt::join(*findings, "; ")));
  }

  void Apply(std::vector<plan::Change> changes, const plan::NodePlan& node) {
    for (int attempt = 0; !changes.empty(); ++attempt) {
      auto failures = writer.Apply(changes);
      if (attempt == 200) Wrong(failures.empty() ? "never done" : failures[0].error.message);
      changes.clear();
      for (auto& failure : failures) changes.push_back(std::move(failure.change));
    }
    if (auto applied = writer.ApplyNode(node); !applied) Wrong(applied.error().message);
  }

  void Settle() {
    for (int i = 0; reclaimer.Poll(); ++i) {
      if (i == 1000) Wrong("the reclaimer does not come to an end");
    }
  }

  ebpf::FaultyTable<services_table> services;
  ebpf::FaultyTable<source_ranges_table> source_ranges;
  ebpf::ManualGrace grace;
  ebpf::Reclaimer reclaimer;
  ebpf::Writer writer;
};

class Player {
 public:
  // `line` of the story, not of an expectation.
  void Play(const std::string& line) {
    Words words = Split(line, ' ');
    if (words.empty() || words[0].starts_with('#')) return;
    if (words[0] == "restart") {
      StartAnew();
      return;
    }
    if (words.size() < 2) Wrong("unknown line: " + line);
    if (words[0] == "node") {
      facts_ = ParseNode(words);
    } else if (words[0] == "service") {
      cluster_.Apply(Upsert(ParseService(words)));
    } else if (words[0] == "slice") {
      cluster_.Apply(Upsert(ParseSlice(words)));
    } else if (words[0] == "servicecidr") {
      cluster_.Apply(Upsert(ServiceCidrs(words[1], {words.begin() + 2, words.end()})));
    } else if (words[0] == "delete" && words.size() == 3) {
      kube::Kind kind = words[1] == "service" ? kube::Kind::kService
                        : words[1] == "slice" ? kube::Kind::kEndpointSlice
                        : words[1] == "servicecidr"
                            ? kube::Kind::kServiceCidr
                            : (Wrong("delete: unknown kind " + words[1]), kube::Kind::kNode);
      cluster_.Apply(Delete(kind, words[2]));
    } else {
      Wrong("unknown line: " + line);
    }
  }

  // Plans and writes what happened since the last time.
  std::string Tables() {
    bool all = planner_.SetFacts(facts_) || !committed_;
    auto dirty = cluster_.TakeDirty();
    if (all) {
      auto names = cluster_.ServiceNames();  // and those deleted since are among the dirty
      dirty.insert(dirty.end(), names.begin(), names.end());
    }
    auto delta = planner_.Update(cluster_, dirty);
    auto changes = committed_ ? delta.changes : WholePlan();
    run_->Apply(changes, planner_.PlanNode(cluster_));
    if (!committed_) {
      if (auto pruned = run_->writer.Prune(); !pruned) Wrong(pruned.error().message);
      committed_ = true;
    }
    run_->Settle();

    std::string dump = Dump(memory_.View());
    for (const kube::Problem& problem : delta.problems) dump += "  problem: " + problem.message + "\n";
    CheckAgainstWholePlan();
    CheckTakeover();
    return dump;
  }

 private:
  void StartAnew() {
    run_ = std::make_unique<Run>(memory_, 20);
    run_->Restore();
    committed_ = false;
  }

  std::vector<plan::Change> WholePlan() const {
    std::vector<plan::Change> changes;
    for (const auto& [key, port] : planner_.plan()) changes.push_back({key, port});
    return changes;
  }

  void CheckAgainstWholePlan() {
    ebpf::MemoryTables memory(SmallCapacities());
    Run run(memory, 0);
    run.Apply(WholePlan(), planner_.PlanNode(cluster_));
    run.Settle();
    std::string whole = Dump(memory.View());
    if (whole != Dump(memory_.View())) Wrong("the whole plan at once gives other tables:\n" + whole);
  }

  void CheckTakeover() {
    ebpf::MemoryTables copy = memory_;
    Run run(copy, 0);
    run.Restore();
    run.Apply(WholePlan(), planner_.PlanNode(cluster_));
    if (auto pruned = run.writer.Prune(); !pruned) Wrong(pruned.error().message);
    run.Settle();
    if (run.writer.store().bytes() != 0) Wrong("a new agent run finds something to write");
  }

  plan::NodeFacts facts_ = ParseNode({"node", "n1"});
  model::Cluster cluster_{"n1"};
  plan::Planner planner_{facts_};
  ebpf::MemoryTables memory_{SmallCapacities()};
  std::unique_ptr<Run> run_ = std::make_unique<Run>(memory_, 20);
  bool committed_ = false;
};

}  // namespace

std::string Replay(const std::string& story) {
  Player player;
  std::string out;
  std::istringstream lines(story);
  bool in_tables = false;
  size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (in_tables && line.starts_with("  ")) continue;
    in_tables = line == "tables:";
    out += line + "\n";
    try {
      if (in_tables) {
        out += player.Tables();
      } else {
        player.Play(line);
      }
    } catch (const std::exception& error) {
      throw std::runtime_error(fmt::format("line {}: {}", number, error.what()));
    }
  }
  return out;
}

}  // namespace fairlead::test
