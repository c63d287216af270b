// SPDX-License-Identifier: Apache-2.0
// bench_packets: ns a packet of tc_uplink and xdp_uplink, by BPF_PROG_TEST_RUN, over what an empty program
// takes for the same packets. Prints one JSON object: {"tc": {"not_ours": {"10000": ns}}}; rows by case,
// columns by number of flows.
//
// Every packet is another (vary.bpf.c). Frontends are load balancer addresses of as many Services. The floor
// is measured between the rounds of what is measured; of all rounds the fastest counts.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "agent/datapath/ebpf/bpf_map.h"
#include "agent/datapath/ebpf/memory_tables.h"
#include "agent/datapath/ebpf/table_set.h"
#include "agent/datapath/ebpf/writer.h"
#include "test/bench/vary.h"
#include "test/support/ebpf/packet_programs.h"
#include "test/support/service_port.h"
#include "vary.skel.h"

namespace fairlead::bench {
namespace {

constexpr uint32_t kFirstClient = 0x64400000;  // 100.64.0.0
constexpr uint32_t kFirstLocal = 0xc6120000;   // 198.18.0.0
constexpr uint32_t kFirstRemote = 0xc6126000;  // 198.18.96.0
constexpr uint32_t kFirstMaglev = 0xc6130000;  // 198.19.0.0
constexpr uint32_t kNobody = 0xcb007100;       // 203.0.113.0
constexpr uint32_t kPackets = 500000;          // of a measured run
constexpr uint8_t kSyn = 0x02, kAck = 0x10;
constexpr uint32_t kEndpoints = 10;

struct Options {
  uint32_t services = 1000;
  uint32_t rounds = 3;
  std::vector<uint32_t> flows{1, 10000, 262144, 1000000};
};

std::string Ip(uint32_t ip) {
  return fmt::format("{}.{}.{}.{}", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
}

// What is measured: packets to which addresses, of flows that exist or that each begin.
struct Case {
  const char* name;
  uint32_t first_frontend;
  bool established;
  bool xdp_sends;  // it is XDP that sends them; else it passes, and that is what is measured
};
constexpr std::array<Case, 6> kCases = {{
    {"not_ours", kNobody, true, false},
    {"new_local", kFirstLocal, false, false},
    {"new_remote", kFirstRemote, false, true},
    {"new_maglev", kFirstMaglev, false, false},
    {"established_local", kFirstLocal, true, false},
    {"established_remote", kFirstRemote, true, true},
}};

class Bench {
 public:
  explicit Bench(const Options& options)
      : options_(options), capacities_(Sizes(options)), programs_(world_, capacities_, Config(capacities_)) {
    objects_ = vary::open_and_load();
    if (!objects_) throw std::runtime_error("vary: load");
    shape_ = Shared<vary_shape>(bpf_map__fd(objects_->maps.shape), 1);
    frontends_ = Shared<frontend_slot>(frontends_table{});
    backends_ = Shared<record>(backends_table{});
    rings_ = Shared<ring_chunk>(rings_table{});
    service_cidrs_ = Shared<service_cidr>(service_cidrs_table{});
    conntrack_ = Shared<flow_set>(conntrack_table{});
    flow_tags_ = Shared<flow_tags>(flow_tags_table{});
    destinations_ = Shared<destination_word>(destinations_table{});
    nat_ports_ = Shared<nat_port_word>(nat_ports_table{});
    Fill();
  }
  ~Bench() { vary::destroy(objects_); }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  std::string Run() {
    std::vector<std::string> parts;
    for (bool xdp : {false, true}) {
      std::vector<std::string> rows;
      for (const Case& of : kCases) {
        std::vector<std::string> columns;
        for (uint32_t flows : options_.flows)
          columns.push_back(fmt::format(R"("{}":{:.1f})", flows, Own(xdp, of, flows)));
        rows.push_back(fmt::format(R"("{}":{{{}}})", of.name, fmt::join(columns, ",")));
      }
      parts.push_back(fmt::format(R"("{}":{{{}}})", xdp ? "xdp" : "tc", fmt::join(rows, ",")));
    }
    return fmt::format(R"({{"services":{},"floor_tc_ns":{:.1f},"floor_xdp_ns":{:.1f},{}}})",
                       options_.services, floor_[0], floor_[1], fmt::join(parts, ","));
  }

 private:
  template <typename Value>
  static ebpf::SharedArray<Value> Shared(int fd, size_t count) {
    auto mapped = ebpf::SharedArray<Value>::Map(fd, "bench", count, true);
    if (!mapped) throw std::runtime_error(mapped.error().message);
    return std::move(*mapped);
  }
  template <typename Value, typename Table>
  ebpf::SharedArray<Value> Shared(Table) {
    int fd = programs_.MapFd(Table::kName);
    auto info = ebpf::GetMapInfo(fd);
    if (!info) throw std::runtime_error(info.error().message);
    return Shared<Value>(fd, info->max_entries);
  }
  static Capacities Sizes(const Options& options) {
    Capacities sizes;
    sizes.flows = 2 * *std::max_element(options.flows.begin(), options.flows.end());
    sizes.backends = 64 * std::max(options.services, 1024U);
    sizes.ring_slots = 2048 * std::max(options.services, 1024U);
    return sizes;
  }
  static fairlead_config Config(const Capacities& capacities) {
    fairlead_config config{};
    auto sizes = ebpf::TableSizes(capacities);
    config.frontend_mask = sizes.at(frontends_table::kName) - 1;
    config.flow_mask = sizes.at(conntrack_table::kName) - 1;
    config.hash_seed = 0x123456789abcdef0ULL;
    uint64_t key = config.hash_seed;
    for (auto& k : config.flow_keys) k = (key = key * 6364136223846793005ULL + 1442695040888963407ULL) | 1;
    // Minutes: what a flow costs once a second (its route, its other half) is not measured here, since how
    // many packets that is spread over is the traffic's affair, and the load of the machine would decide it.
    config.tick_shift = 16;
    config.tick_ms = 262144;
    std::fill(std::begin(config.flow_timeout), std::end(config.flow_timeout), 100000U);
    config.idle_ticks = FLOW_IDLE_BEFORE_EVICTION_S;
#if defined(__x86_64__)
    config.strong_order = true;
#endif
    return config;
  }

  // The Services, and the node they are on.
  void Fill() {
    ebpf::Tables tables{};
    tables.hash_seed = 0x123456789abcdef0ULL;
    tables.frontends = frontends_.elements();
    tables.backends = backends_.elements();
    tables.rings = rings_.elements();
    tables.service_cidrs = service_cidrs_.elements();
    tables.conntrack = {conntrack_.elements(), flow_tags_.elements()};
    tables.destinations = destinations_.elements();
    std::ranges::copy(Config(capacities_).flow_keys, tables.flow_keys.begin());
    tables.nat_ports = nat_ports_.elements();
    auto rest = ebpf::MemoryTables(capacities_);  // what no program reads
    ebpf::Tables memory = rest.View();
    tables.service_traffic = memory.service_traffic;
    tables.backend_traffic = memory.backend_traffic;
    tables.pod_cidrs = memory.pod_cidrs;
    tables.services = memory.services;
    tables.source_ranges = memory.source_ranges;
    tables.source_range_capacity = memory.source_range_capacity;
    tables.devices = memory.devices;
    ebpf::ManualGrace grace;
    ebpf::Reclaimer reclaimer(grace);
    ebpf::Writer writer(tables, reclaimer);
    std::vector<plan::Change> changes;
    for (uint32_t i = 0; i < options_.services; ++i) {
      for (uint32_t first : {kFirstLocal, kFirstRemote, kFirstMaglev}) {
        test::PortOf port(fmt::format("bench/svc-{}-{}", first, i));
        port.LoadBalancer(Ip(first + i), 80);
        std::vector<plan::Backend> backends;
        for (uint32_t k = 0; k < kEndpoints; ++k) {
          backends.push_back(test::BackendOf(first == kFirstRemote
                                                 ? fmt::format("10.180.1.{}:{}", 10 + k, 2000 + i)
                                                 : fmt::format("10.180.0.{}:{} local", 100 + k, 2000 + i)));
        }
        port.On(backends);
        if (first == kFirstMaglev) port.Maglev();
        plan::ServicePort made = port.Get();
        for (plan::Frontend& frontend : made.frontends)
          frontend.masquerade = first == kFirstRemote ? plan::Masquerade::kAll : plan::Masquerade::kNobody;
        changes.push_back({made.key, std::make_shared<plan::ServicePort>(made)});
      }
    }
    for (const auto& failure : writer.Apply(changes)) throw std::runtime_error(failure.error.message);
    for (auto& word : nat_ports_.elements()) word.usable = ~uint64_t{0};
    device node{};
    node.nat_v4 = Address::Parse("192.168.99.11")->raw;
    uint32_t row = 0;
    if (bpf_map_update_elem(programs_.MapFd(devices_table::kName), &row, &node, BPF_ANY) != 0)
      throw std::runtime_error("devices");
  }

  // Every flow.
  void Forget() {
    std::memset(conntrack_.elements().data(), 0, conntrack_.elements().size_bytes());
    std::memset(flow_tags_.elements().data(), 0, flow_tags_.elements().size_bytes());
  }

  void Aim(const Case& of, uint32_t flows, bool syn, bool in_order) {
    vary_shape& shape = shape_.elements()[0];
    shape = {};
    shape.flows = flows;
    shape.frontends = of.first_frontend == kNobody ? 250 : options_.services;
    shape.first_client = kFirstClient;
    shape.first_frontend = of.first_frontend;
    shape.port = 80;
    shape.tcp_flags = syn ? kSyn : kAck;
    shape.in_order = in_order;
  }

  // ns a packet; the program is called with as many.
  double Time(bool xdp, int program, uint32_t packets) {
    uint32_t zero = 0;
    int programs = bpf_map__fd(xdp ? objects_->maps.xdp_program : objects_->maps.tc_program);
    if (bpf_map_update_elem(programs, &zero, &program, BPF_ANY) != 0) throw std::runtime_error("tail call");
    std::array<uint8_t, 64> frame{};
    std::ranges::copy(test::kNodeMac, frame.begin());
    frame[12] = 8;  // IPv4
    std::array<uint8_t, 256> out{};
    xdp_md xdp_ctx{};
    xdp_ctx.data_end = frame.size();
    xdp_ctx.ingress_ifindex = world_.IfIndex("eth0");
    __sk_buff skb_ctx{};
    skb_ctx.ifindex = world_.IfIndex("eth0");
    bpf_test_run_opts run{};
    run.sz = sizeof(run);
    run.data_in = frame.data();
    run.data_size_in = frame.size();
    run.data_out = out.data();
    run.data_size_out = out.size();
    run.ctx_in = xdp ? static_cast<const void*>(&xdp_ctx) : &skb_ctx;
    run.ctx_size_in = xdp ? sizeof(xdp_ctx) : sizeof(skb_ctx);
    run.repeat = static_cast<int>(packets);
    test::NetnsScope inside(world_.Node());
    if (bpf_prog_test_run_opts(bpf_program__fd(xdp ? objects_->progs.vary_xdp : objects_->progs.vary_tc),
                               &run) != 0)
      throw std::runtime_error(fmt::format("test run: {}", std::strerror(errno)));
    return run.duration;
  }

  double Own(bool xdp, const Case& of, uint32_t flows) {
    int program = programs_.ProgramFd(xdp ? "xdp_uplink" : "tc_uplink");
    int empty = bpf_program__fd(xdp ? objects_->progs.empty_xdp : objects_->progs.empty_tc);
    double best = 1e9, floor = 1e9;
    for (uint32_t round = 0; round < options_.rounds; ++round) {
      const bool begins = !of.established;
      const uint32_t packets = begins ? std::max(flows, 1000U) : kPackets;
      // A flow that begins anew with each packet needs as many of them.
      const uint32_t different = begins ? packets : flows;
      if (begins || round == 0) Forget();
      if (of.established && of.first_frontend != kNobody && round == 0) {
        Aim(of, different, true, true);
        Time(false, programs_.ProgramFd("tc_uplink"), different);
      }
      Aim(of, different, begins, begins);
      floor = std::min(floor, Time(xdp, empty, packets));
      Aim(of, different, begins, begins);
      if (of.established) {  // once unmeasured: the first of a tick asks for routes
        Time(xdp, program, std::min(kPackets, 4 * different));
      }
      best = std::min(best, Time(xdp, program, packets));
    }
    floor_[xdp] = floor;
    return best - floor;
  }

  Options options_;
  Capacities capacities_;
  test::PacketWorld world_;
  test::PacketPrograms programs_;
  vary* objects_ = nullptr;
  ebpf::SharedArray<vary_shape> shape_;
  ebpf::SharedArray<frontend_slot> frontends_;
  ebpf::SharedArray<record> backends_;
  ebpf::SharedArray<ring_chunk> rings_;
  ebpf::SharedArray<service_cidr> service_cidrs_;
  ebpf::SharedArray<flow_set> conntrack_;
  ebpf::SharedArray<flow_tags> flow_tags_;
  ebpf::SharedArray<destination_word> destinations_;
  ebpf::SharedArray<nat_port_word> nat_ports_;
  std::array<double, 2> floor_{};
};

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("ns a packet of the packet programs");
  app.add_option("--services", options.services, "of each kind")->check(CLI::Range(1, 20000));
  app.add_option("--rounds", options.rounds)->check(CLI::PositiveNumber);
  app.add_option("--flows", options.flows, "numbers of flows, with commas")->delimiter(',');
  CLI11_PARSE(app, argc, argv);
  try {
    fmt::print("{}\n", Bench(options).Run());
  } catch (const std::exception& e) {
    fmt::print(stderr, "bench_packets: {}\n", e.what());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace fairlead::bench

int main(int argc, char** argv) {
  return fairlead::bench::Main(argc, argv);
}
