// SPDX-License-Identifier: Apache-2.0
// The maps of the built BPF objects against the C++ types that stand for them: BTF of every key and value,
// member by member, with offset and size.
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "fairlead/config.h"
#include "maps/affinity.h"
#include "maps/answer_budget.h"
#include "maps/backends.h"
#include "maps/conntrack.h"
#include "maps/counters.h"
#include "maps/destinations.h"
#include "maps/devices.h"
#include "maps/explain.h"
#include "maps/fragments.h"
#include "maps/frontends.h"
#include "maps/nat_ports.h"
#include "maps/peers.h"
#include "maps/pod_cidrs.h"
#include "maps/rings.h"
#include "maps/schema.h"
#include "maps/service_cidrs.h"
#include "maps/services.h"
#include "maps/source_ranges.h"
#include "maps/stream_peers.h"

namespace {

struct Member {
  std::string name;
  size_t offset = 0;
  size_t size = 0;
  friend bool operator==(const Member&, const Member&) = default;
  friend void PrintTo(const Member& member, std::ostream* out) {
    *out << fmt::format("{} at {}, {} bytes", member.name, member.offset, member.size);
  }
};
using Members = std::vector<Member>;

struct Struct {
  size_t size = 0;
  Members members;
};

#define MEMBER(type, member)                              \
  Member {                                                \
    #member, offsetof(type, member), sizeof(type::member) \
  }

// By the name that BTF gives the type. A scalar has none.
const std::map<std::string, Struct> kStructs = {
    {"ip_addr", {sizeof(ip_addr), {{"", 0, 16}}}},
    {"frontend_key",
     {sizeof(frontend_key),
      {MEMBER(frontend_key, addr), MEMBER(frontend_key, port), MEMBER(frontend_key, proto),
       MEMBER(frontend_key, scope), MEMBER(frontend_key, reserved)}}},
    {"frontend",
     {sizeof(frontend),
      {MEMBER(frontend, offset), MEMBER(frontend, count), MEMBER(frontend, algorithm),
       MEMBER(frontend, flags)}}},
    {"frontend_slot",
     {sizeof(frontend_slot),
      {MEMBER(frontend_slot, addr), MEMBER(frontend_slot, port), MEMBER(frontend_slot, proto),
       MEMBER(frontend_slot, scope), MEMBER(frontend_slot, service_id), MEMBER(frontend_slot, value)}}},
    {"record", {sizeof(record), {{"", 0, sizeof(record)}}}},
    {"run",
     {sizeof(run),
      {MEMBER(run, service_id), MEMBER(run, length), MEMBER(run, draining), MEMBER(run, ring),
       MEMBER(run, ring_size), MEMBER(run, affinity_timeout_s), MEMBER(run, source_set),
       MEMBER(run, reserved), MEMBER(run, kind)}}},
    {"backend",
     {sizeof(backend),
      {MEMBER(backend, addr), MEMBER(backend, id), MEMBER(backend, reserved2), MEMBER(backend, port),
       MEMBER(backend, weight), MEMBER(backend, flags), MEMBER(backend, reserved), MEMBER(backend, kind)}}},
    {"ring_chunk", {sizeof(ring_chunk), {MEMBER(ring_chunk, slot)}}},
    {"service",
     {sizeof(service),
      {MEMBER(service, ns), MEMBER(service, name), MEMBER(service, port), MEMBER(service, proto),
       MEMBER(service, family), MEMBER(service, reserved)}}},
    {"service_cidr",
     {sizeof(service_cidr),
      {MEMBER(service_cidr, base), MEMBER(service_cidr, mask), MEMBER(service_cidr, in_use)}}},
    {"source_range_key",
     {sizeof(source_range_key),
      {MEMBER(source_range_key, prefix_bits), MEMBER(source_range_key, source_set),
       MEMBER(source_range_key, addr)}}},
    {"source_range", {sizeof(source_range), {MEMBER(source_range, service_id)}}},
    {"affinity_key",
     {sizeof(affinity_key),
      {MEMBER(affinity_key, client), MEMBER(affinity_key, service_id), MEMBER(affinity_key, kind)}}},
    {"affinity",
     {sizeof(affinity),
      {MEMBER(affinity, last_used_ns), MEMBER(affinity, backend_id), MEMBER(affinity, reserved)}}},
    {"counter", {sizeof(counter), {MEMBER(counter, count)}}},
    {"traffic", {sizeof(traffic), {MEMBER(traffic, connections)}}},
    {"peer",
     {sizeof(peer),
      {MEMBER(peer, frontend), MEMBER(peer, backend), MEMBER(peer, frontend_port), MEMBER(peer, backend_port),
       MEMBER(peer, service_id), MEMBER(peer, backend_id), MEMBER(peer, proto), MEMBER(peer, reserved)}}},
    {"peers", {sizeof(peers), {MEMBER(peers, peer), MEMBER(peers, next), MEMBER(peers, latest)}}},
    {"stream_peer",
     {sizeof(stream_peer),
      {MEMBER(stream_peer, cookie), MEMBER(stream_peer, frontend), MEMBER(stream_peer, backend_tail),
       MEMBER(stream_peer, frontend_port), MEMBER(stream_peer, backend_port)}}},
    {"stream_peer_set", {sizeof(stream_peer_set), {MEMBER(stream_peer_set, entry)}}},
    {"schema",
     {sizeof(schema),
      {MEMBER(schema, version), MEMBER(schema, frontend_slots), MEMBER(schema, hash_seed),
       MEMBER(schema, flow_keys), MEMBER(schema, cgroup_id), MEMBER(schema, agent_started),
       MEMBER(schema, agent_pid), MEMBER(schema, flow_sets)}}},
    {"flow_key",
     {sizeof(flow_key),
      {MEMBER(flow_key, src), MEMBER(flow_key, dst), MEMBER(flow_key, sport), MEMBER(flow_key, dport),
       MEMBER(flow_key, proto), MEMBER(flow_key, reserved)}}},
    {"flow",
     {sizeof(flow),
      {MEMBER(flow, key),      MEMBER(flow, sequence), MEMBER(flow, last_seen),  MEMBER(flow, state),
       MEMBER(flow, flags),    MEMBER(flow, reserved), MEMBER(flow, service_id), MEMBER(flow, backend_id),
       MEMBER(flow, packets),  MEMBER(flow, to_src),   MEMBER(flow, to_dst),     MEMBER(flow, to_sport),
       MEMBER(flow, to_dport), MEMBER(flow, ifindex),  MEMBER(flow, dmac),       MEMBER(flow, smac),
       MEMBER(flow, mtu),      MEMBER(flow, egress),   MEMBER(flow, reserved2),  MEMBER(flow, reserved3)}}},
    {"flow_set", {sizeof(flow_set), {MEMBER(flow_set, entry)}}},
    {"flow_tags",
     {sizeof(flow_tags), {MEMBER(flow_tags, tags), MEMBER(flow_tags, lock), MEMBER(flow_tags, reserved)}}},
    {"destination_word",
     {sizeof(destination_word), {MEMBER(destination_word, live), MEMBER(destination_word, next)}}},
    {"device",
     {sizeof(device),
      {MEMBER(device, nat_v4), MEMBER(device, nat_v6), MEMBER(device, flags), MEMBER(device, name),
       MEMBER(device, reserved)}}},
    {"nat_port_word", {sizeof(nat_port_word), {MEMBER(nat_port_word, usable)}}},
    {"nat_try_count", {sizeof(nat_try_count), {MEMBER(nat_try_count, flows)}}},
    {"fragment_key",
     {sizeof(fragment_key),
      {MEMBER(fragment_key, src), MEMBER(fragment_key, dst), MEMBER(fragment_key, id),
       MEMBER(fragment_key, proto), MEMBER(fragment_key, slot), MEMBER(fragment_key, reserved)}}},
    {"fragment_ports",
     {sizeof(fragment_ports),
      {MEMBER(fragment_ports, sport), MEMBER(fragment_ports, dport), MEMBER(fragment_ports, seen)}}},
    {"held_fragment",
     {sizeof(held_fragment),
      {MEMBER(held_fragment, length), MEMBER(held_fragment, seen), MEMBER(held_fragment, bytes)}}},
    {"answer_budget",
     {sizeof(answer_budget), {MEMBER(answer_budget, filled_ns), MEMBER(answer_budget, tokens)}}},
    {"explain",
     {sizeof(explain),
      {MEMBER(explain, at), MEMBER(explain, steps), MEMBER(explain, netns_cookie), MEMBER(explain, step)}}},
    {"explain_step",
     {sizeof(explain_step),
      {MEMBER(explain_step, kind), MEMBER(explain_step, reserved), MEMBER(explain_step, addr),
       MEMBER(explain_step, number)}}},
    {"fairlead_config",
     {sizeof(fairlead_config),
      {MEMBER(fairlead_config, node_netns_cookie), MEMBER(fairlead_config, hash_seed),
       MEMBER(fairlead_config, frontend_mask), MEMBER(fairlead_config, flow_mask),
       MEMBER(fairlead_config, flow_keys), MEMBER(fairlead_config, tick_shift),
       MEMBER(fairlead_config, tick_ms), MEMBER(fairlead_config, flow_timeout),
       MEMBER(fairlead_config, idle_ticks), MEMBER(fairlead_config, pod_devices_are_pods),
       MEMBER(fairlead_config, direct_delivery), MEMBER(fairlead_config, leave_established),
       MEMBER(fairlead_config, strong_order)}}},
};

// A table of maps/: the names of its key and value types (or "" for a scalar) and its kind.
struct Table {
  std::string key;
  size_t key_size = 0;
  std::string value;
  size_t value_size = 0;
  bpf_map_type kind = BPF_MAP_TYPE_UNSPEC;
};

template <typename T>
Table TableOf(std::string key, std::string value) {
  return {std::move(key), sizeof(typename T::Key), std::move(value), sizeof(typename T::Value), T::kKind};
}

const std::map<std::string, Table> kTables = {
    {frontends_table::kName, TableOf<frontends_table>("", "frontend_slot")},
    {backends_table::kName, TableOf<backends_table>("", "record")},
    {rings_table::kName, TableOf<rings_table>("", "ring_chunk")},
    {services_table::kName, TableOf<services_table>("", "service")},
    {service_cidrs_table::kName, TableOf<service_cidrs_table>("", "service_cidr")},
    {source_ranges_table::kName, TableOf<source_ranges_table>("source_range_key", "source_range")},
    {affinity_table::kName, TableOf<affinity_table>("affinity_key", "affinity")},
    {counters_table::kName, TableOf<counters_table>("", "counter")},
    {service_traffic_table::kName, TableOf<service_traffic_table>("", "traffic")},
    {backend_traffic_table::kName, TableOf<backend_traffic_table>("", "traffic")},
    {stream_peers_table::kName, TableOf<stream_peers_table>("", "stream_peer_set")},
    {connected_peer_table::kName, TableOf<connected_peer_table>("", "peer")},
    {datagram_peers_table::kName, TableOf<datagram_peers_table>("", "peers")},
    {schema_table::kName, TableOf<schema_table>("", "schema")},
    {conntrack_table::kName, TableOf<conntrack_table>("", "flow_set")},
    {flow_tags_table::kName, TableOf<flow_tags_table>("", "flow_tags")},
    {destinations_table::kName, TableOf<destinations_table>("", "destination_word")},
    {devices_table::kName, TableOf<devices_table>("", "device")},
    {nat_ports_table::kName, TableOf<nat_ports_table>("", "nat_port_word")},
    {nat_tries_table::kName, TableOf<nat_tries_table>("", "nat_try_count")},
    {pod_cidrs_table::kName, TableOf<pod_cidrs_table>("", "service_cidr")},
    {fragments_table::kName, TableOf<fragments_table>("fragment_key", "fragment_ports")},
    {held_fragments_table::kName, TableOf<held_fragments_table>("fragment_key", "held_fragment")},
    {answer_budget_table::kName, TableOf<answer_budget_table>("", "answer_budget")},
    {explain_table::kName, TableOf<explain_table>("", "explain")},
};

struct CloseObject {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};
using Object = std::unique_ptr<bpf_object, CloseObject>;

std::vector<std::filesystem::path> ObjectFiles() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(FAIRLEAD_BINARY_DIR "/bpf")) {
    if (entry.path().extension() == ".o") files.push_back(entry.path());
  }
  return files;
}

Members MembersOf(const btf* types, const btf_type* type) {
  Members members;
  for (uint32_t i = 0; i < btf_vlen(type); ++i) {
    const btf_member& member = btf_members(type)[i];
    members.push_back({btf__name_by_offset(types, member.name_off), btf_member_bit_offset(type, i) / 8,
                       static_cast<size_t>(btf__resolve_size(types, member.type))});
  }
  return members;
}

// clock asks the kernel for the time, and needs neither tables nor configuration.
std::vector<std::filesystem::path> ObjectsOverTables() {
  std::vector<std::filesystem::path> files = ObjectFiles();
  std::erase_if(files, [](const auto& file) { return file.filename() == "clock.bpf.o"; });
  return files;
}

// Every struct of ours that the object's BTF names, wherever it occurs.
class LayoutTest : public testing::TestWithParam<std::filesystem::path> {
 protected:
  void SetUp() override {
    libbpf_set_print(nullptr);
    object_.reset(bpf_object__open(GetParam().c_str()));
    ASSERT_TRUE(object_) << GetParam();
    types_ = bpf_object__btf(object_.get());
    ASSERT_TRUE(types_) << "no BTF";
  }

  const btf_type* Resolve(uint32_t id) const {
    int resolved = btf__resolve_type(types_, id);
    return resolved < 0 ? nullptr : btf__type_by_id(types_, static_cast<uint32_t>(resolved));
  }

  void ExpectType(const std::string& what, uint32_t id, const std::string& name, size_t size) const {
    const btf_type* type = Resolve(id);
    ASSERT_TRUE(type) << what << " has no BTF";
    EXPECT_EQ(static_cast<size_t>(btf__resolve_size(types_, id)), size) << what;
    if (name.empty()) {
      EXPECT_EQ(btf_kind(type), BTF_KIND_INT) << what;
    } else {
      EXPECT_EQ(btf__name_by_offset(types_, type->name_off), name) << what;
    }
  }

  Object object_;
  const btf* types_ = nullptr;
};

TEST_P(LayoutTest, EveryMapIsATableWithTypedKeyAndValue) {
  bpf_map* map = nullptr;
  size_t tables = 0;
  bpf_object__for_each_map(map, object_.get()) {
    if (bpf_map__is_internal(map)) continue;
    ++tables;
    std::string name = bpf_map__name(map);
    SCOPED_TRACE(name);
    auto table = kTables.find(name);
    ASSERT_NE(table, kTables.end()) << "a map that maps/ does not know";
    EXPECT_EQ(bpf_map__type(map), table->second.kind);
    EXPECT_EQ(bpf_map__key_size(map), table->second.key_size);
    EXPECT_EQ(bpf_map__value_size(map), table->second.value_size);
    ExpectType("key", bpf_map__btf_key_type_id(map), table->second.key, table->second.key_size);
    ExpectType("value", bpf_map__btf_value_type_id(map), table->second.value, table->second.value_size);
    EXPECT_LE(name.size(), 15U) << "the kernel cuts map names at 15 bytes";
  }
  EXPECT_GT(tables, 0U);
}

TEST_P(LayoutTest, EveryStructHasTheSameMembersInBothLanguages) {
  size_t compared = 0;
  for (uint32_t id = 1; id < btf__type_cnt(types_); ++id) {
    const btf_type* type = btf__type_by_id(types_, id);
    if (!btf_is_struct(type)) continue;
    auto wanted = kStructs.find(btf__name_by_offset(types_, type->name_off));
    if (wanted == kStructs.end()) continue;
    EXPECT_EQ(type->size, wanted->second.size) << wanted->first;
    EXPECT_EQ(MembersOf(types_, type), wanted->second.members) << wanted->first;
    ++compared;
  }
  EXPECT_GT(compared, 5U);
}

TEST_P(LayoutTest, TheConfigurationIsTheRodataTheAgentFills) {
  int id = btf__find_by_name_kind(types_, "fairlead_config", BTF_KIND_STRUCT);
  ASSERT_GT(id, 0);
  EXPECT_EQ(btf__type_by_id(types_, static_cast<uint32_t>(id))->size, sizeof(fairlead_config));
}

INSTANTIATE_TEST_SUITE_P(Objects, LayoutTest, testing::ValuesIn(ObjectsOverTables()), [](const auto& file) {
  std::string name = file.param.stem().stem().string();
  return name;
});

TEST(Layout, EveryTableAndStructOccursInSomeObject) {
  std::set<std::string> maps, structs;
  for (const auto& file : ObjectFiles()) {
    Object object(bpf_object__open(file.c_str()));
    ASSERT_TRUE(object);
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object.get()) maps.insert(bpf_map__name(map));
    const btf* types = bpf_object__btf(object.get());
    for (uint32_t id = 1; id < btf__type_cnt(types); ++id) {
      const btf_type* type = btf__type_by_id(types, id);
      if (btf_is_struct(type)) structs.insert(btf__name_by_offset(types, type->name_off));
    }
  }
  for (const auto& [name, table] : kTables) EXPECT_TRUE(maps.contains(name)) << name << " is in no object";
  for (const auto& [name, layout] : kStructs)
    EXPECT_TRUE(structs.contains(name)) << name << " is compared nowhere";
}

}  // namespace
