// SPDX-License-Identifier: Apache-2.0
#include "test/support/ebpf/packet_programs.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstdarg>
#include <cstring>
#include <stdexcept>
#include <vector>

#include <fmt/format.h>

#include "agent/datapath/ebpf/kernel.h"
#include "test/support/sandbox.h"

namespace fairlead::test {

namespace {

std::string libbpf_said;  // since the last load began

int Remember(libbpf_print_level level, const char* format, va_list args) {
  if (level == LIBBPF_DEBUG) return 0;
  char line[16384];
  std::vsnprintf(line, sizeof(line), format, args);
  libbpf_said += line;
  return 0;
}

[[noreturn]] void Throw(std::string_view what, int error = errno) {
  // Of a verifier log the end says why.
  constexpr size_t kMost = 4000;
  std::string_view said = libbpf_said;
  if (said.size() > kMost) said.remove_prefix(said.size() - kMost);
  throw std::runtime_error(fmt::format("{}: {}\n{}", what, std::strerror(error), said));
}

void SetConfig(bpf_object* object, const fairlead_config& config) {
  const btf* types = bpf_object__btf(object);
  int section_id = btf__find_by_name_kind(types, ".rodata", BTF_KIND_DATASEC);
  if (section_id < 0) throw std::runtime_error("no read-only data");
  const btf_type* section = btf__type_by_id(types, static_cast<uint32_t>(section_id));
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) {
    if (!std::string_view(bpf_map__name(map)).ends_with(".rodata")) continue;
    size_t size = 0;
    const auto* initial = static_cast<const char*>(bpf_map__initial_value(map, &size));
    std::vector<char> data(initial, initial + size);
    for (uint16_t i = 0; i < btf_vlen(section); ++i) {
      const btf_var_secinfo& variable = btf_var_secinfos(section)[i];
      const btf_type* type = btf__type_by_id(types, variable.type);
      if (std::string_view(btf__name_by_offset(types, type->name_off)) == "config")
        std::memcpy(data.data() + variable.offset, &config, sizeof(config));
    }
    if (bpf_map__set_initial_value(map, data.data(), size) != 0) Throw("configuration");
  }
}

}  // namespace

PacketPrograms::PacketPrograms(const PacketWorld& world, const Capacities& capacities,
                               const fairlead_config& config, const PacketPrograms* share)
    : world_(world) {
  rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  ::setrlimit(RLIMIT_MEMLOCK, &unlimited);
  libbpf_set_print(Remember);
  for (const char* device : {"eth0", "eth1", "pod11", "pod12"}) ifindex_[device] = world_.IfIndex(device);
  tc_ = Load("tc_lb", capacities, config,
             [&](std::string_view name) { return share ? share->MapFd(name) : -1; });
  xdp_ = Load("xdp_lb", capacities, config, [&](std::string_view name) { return MapFd(name); });
}

PacketPrograms::Object PacketPrograms::Load(const std::string& name, const Capacities& capacities,
                                            const fairlead_config& config,
                                            const std::function<int(std::string_view)>& shared) {
  libbpf_said.clear();
  Object object(bpf_object__open(fmt::format("{}/bpf/{}.bpf.o", Sandbox::BuildDir(), name).c_str()));
  if (!object) Throw(name);
  const auto sizes = ebpf::TableSizes(capacities);
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object.get()) {
    if (bpf_map__is_internal(map)) continue;
    if (auto size = sizes.find(bpf_map__name(map)); size != sizes.end())
      bpf_map__set_max_entries(map, size->second);
    int fd = shared(bpf_map__name(map));
    if (fd >= 0 && bpf_map__reuse_fd(map, fd) != 0) Throw(bpf_map__name(map));
  }
  SetConfig(object.get(), config);
  if (int error = bpf_object__load(object.get()); error != 0) Throw(name, -error);
  return object;
}

int PacketPrograms::MapFd(std::string_view name) const {
  for (const Object* object : {&tc_, &xdp_}) {
    if (!*object) continue;
    if (int fd = bpf_object__find_map_fd_by_name(object->get(), std::string(name).c_str()); fd >= 0)
      return fd;
  }
  return -1;
}

int PacketPrograms::ProgramFd(std::string_view program) const {
  bool xdp = program.starts_with("xdp");
  bpf_program* found =
      bpf_object__find_program_by_name((xdp ? xdp_ : tc_).get(), std::string(program).c_str());
  if (!found) throw std::runtime_error(fmt::format("no program {}", program));
  return bpf_program__fd(found);
}

RunResult PacketPrograms::Run(std::string_view program, std::span<const uint8_t> frame,
                              const std::string& device) const {
  constexpr size_t kGrowth = 512;  // a tunnel, an answer that quotes
  bool xdp = program.starts_with("xdp");
  xdp_md xdp_ctx{};
  xdp_ctx.data_end = static_cast<uint32_t>(frame.size());
  xdp_ctx.ingress_ifindex = ifindex_.at(device);
  __sk_buff skb_ctx{};
  skb_ctx.ifindex = ifindex_.at(device);
  __sk_buff skb_after{};
  Bytes out(frame.size() + kGrowth);

  bpf_test_run_opts run{};
  run.sz = sizeof(run);
  run.data_in = frame.data();
  run.data_size_in = static_cast<uint32_t>(frame.size());
  run.data_out = out.data();
  run.data_size_out = static_cast<uint32_t>(out.size());
  run.ctx_in = xdp ? static_cast<const void*>(&xdp_ctx) : &skb_ctx;
  run.ctx_size_in = xdp ? sizeof(xdp_ctx) : sizeof(skb_ctx);
  if (!xdp) {
    run.ctx_out = &skb_after;
    run.ctx_size_out = sizeof(skb_after);
  }
  NetnsScope inside(world_.Node());
  if (bpf_prog_test_run_opts(ProgramFd(program), &run) != 0)
    Throw(fmt::format("{} on {} bytes", program, frame.size()));
  out.resize(run.data_size_out);
  return {static_cast<int>(run.retval), std::move(out), skb_after.mark};
}

}  // namespace fairlead::test
