// SPDX-License-Identifier: Apache-2.0
// bench_map_writes: the way from objects to maps without a source of objects: model, plan and map writer of
// the agent, over real tables in the kernel. Prints one JSON object; times in ns.
//
//   all      every Service of the cluster at once, as at start
//   change   one endpoint of one Service replaced, so many times
//
// The programs are loaded but never attached (no Commit), and nothing is left behind.
#include <arpa/inet.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "agent/datapath/ebpf/ebpf.h"
#include "agent/model/cluster.h"
#include "agent/plan/planner.h"
#include "test/bench/bench_cluster.h"
#include "test/bench/figures.h"

namespace fairlead::bench {
namespace {

struct Options {
  std::string pins, cgroup;
  uint32_t services = 10;
  uint32_t endpoints = 10;
  uint32_t changes = 1000;
};

Address ToAddress(uint32_t ip) {
  Address address;
  address.raw.words[2] = IP_ADDR_V4_PREFIX;
  address.raw.words[3] = htonl(ip);
  return address;
}

kube::Service MakeService(uint32_t i) {
  kube::Service service;
  service.name = {"bench", fmt::format("svc-{}", i)};
  service.cluster_ips = {ToAddress(ClusterIp(i))};
  service.ports = {{.name = "http", .port = kServicePort}};
  return service;
}

kube::EndpointSlice MakeSlice(uint32_t i, uint32_t endpoints) {
  kube::EndpointSlice slice;
  slice.service = fmt::format("svc-{}", i);
  slice.name = {"bench", slice.service + "-1"};
  slice.ports = {{.name = "http", .port = kEndpointPort}};
  for (uint32_t j = 0; j < endpoints; ++j) {
    kube::Endpoint endpoint;
    endpoint.address = ToAddress(EndpointIp(i * endpoints + j));
    slice.endpoints.push_back(std::move(endpoint));
  }
  return slice;
}

plan::NodeFacts Facts() {
  plan::NodeFacts facts;
  facts.name = "node1";
  return facts;
}

// A phase's times, one an update.
struct Times {
  std::vector<int64_t> plan, maps;
};

class Bench {
 public:
  Bench(const Options& options, ebpf::EbpfDatapath& datapath)
      : options_(options), datapath_(datapath), cluster_("node1"), planner_(Facts()) {}

  bool Run() {
    std::vector<kube::Object> services;
    std::vector<kube::Object> slices;
    for (uint32_t i = 0; i < options_.services; ++i) {
      services.emplace_back(MakeService(i));
      slices.emplace_back(MakeSlice(i, options_.endpoints));
    }
    Replace(kube::Kind::kService, std::move(services));
    Replace(kube::Kind::kEndpointSlice, std::move(slices));
    Replace(kube::Kind::kNode, {});
    Times all;
    if (!Sync(all)) return false;
    const uint64_t bytes_of_all = datapath_.BytesWritten();

    Times change;
    Random random{1};
    const uint32_t known = options_.services * options_.endpoints;
    for (uint32_t n = 0; n < options_.changes; ++n) {
      kube::EndpointSlice slice = MakeSlice(random() % options_.services, options_.endpoints);
      slice.endpoints[random() % options_.endpoints].address = ToAddress(EndpointIp(known + n));
      cluster_.Apply({.type = kube::Update::Type::kUpsert,
                      .kind = kube::Kind::kEndpointSlice,
                      .name = slice.name,
                      .objects = {std::move(slice)}});
      if (!Sync(change)) return false;
      datapath_.Reconcile();
    }
    Print(all, bytes_of_all, change);
    return true;
  }

 private:
  void Replace(kube::Kind kind, std::vector<kube::Object> objects) {
    cluster_.Apply(
        {.type = kube::Update::Type::kReplace, .kind = kind, .name = {}, .objects = std::move(objects)});
  }

  bool Sync(Times& times) {
    const int64_t began = WallNs();
    plan::Delta delta = planner_.Update(cluster_, cluster_.TakeDirty());
    const int64_t planned = WallNs();
    std::vector<datapath::Failure> failures = datapath_.Apply(delta.changes);
    times.maps.push_back(WallNs() - planned);
    times.plan.push_back(planned - began);
    for (const datapath::Failure& failure : failures) {
      fmt::print(stderr, "bench_map_writes: {}\n", failure.error.message);
    }
    return failures.empty();
  }

  void Print(Times& all, uint64_t bytes_of_all, Times& change) const {
    fmt::print(R"({{"all":{{"plan_ns":{},"maps_ns":{},"bytes":{}}},)", all.plan.front(), all.maps.front(),
               bytes_of_all);
    fmt::print(
        R"("change":{{"plan_p50_ns":{},"plan_p99_ns":{},"maps_p50_ns":{},"maps_p99_ns":{},"bytes":{}}}}})"
        "\n",
        Quantile(change.plan, 0.5), Quantile(change.plan, 0.99), Quantile(change.maps, 0.5),
        Quantile(change.maps, 0.99), (datapath_.BytesWritten() - bytes_of_all) / options_.changes);
  }

  const Options options_;
  ebpf::EbpfDatapath& datapath_;
  model::Cluster cluster_;
  plan::Planner planner_;
};

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Time from objects to maps");
  app.add_option("--pins", options.pins, "a bpffs folder, removed afterwards")->required();
  app.add_option("--cgroup", options.cgroup)->required();
  app.add_option("--services", options.services)->check(CLI::PositiveNumber);
  app.add_option("--endpoints", options.endpoints, "of each Service")->check(CLI::PositiveNumber);
  app.add_option("--changes", options.changes)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);

  ebpf::EbpfOptions opening;
  opening.kernel.bpffs_dir = options.pins;
  opening.kernel.cgroup = options.cgroup;
  opening.nodeport_range = "30000-32767";
  opening.devices.uplinks.clear();  // the machine's own devices are left alone
  auto datapath = ebpf::EbpfDatapath::Open(opening);
  if (!datapath) {
    fmt::print(stderr, "bench_map_writes: {}\n", datapath.error().message);
    return 1;
  }
  const bool good = Bench(options, **datapath).Run();
  datapath->reset();
  auto cleaned = ebpf::Kernel::CleanUp(options.pins);
  if (!cleaned) fmt::print(stderr, "bench_map_writes: {}\n", cleaned.error().message);
  return good && cleaned ? 0 : 1;
}

}  // namespace
}  // namespace fairlead::bench

int main(int argc, char** argv) {
  return fairlead::bench::Main(argc, argv);
}
