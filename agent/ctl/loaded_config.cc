// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/loaded_config.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>

#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "agent/base/fd.h"

namespace fairlead::ctl {

namespace {

constexpr char kProgram[] = "tc_explain";  // has the same configuration as all others

Result<std::vector<uint32_t>> MapsOf(int program) {
  std::vector<uint32_t> ids(64);
  bpf_prog_info info{};
  uint32_t size = sizeof(info);
  info.nr_map_ids = static_cast<uint32_t>(ids.size());
  info.map_ids = reinterpret_cast<uint64_t>(ids.data());
  if (bpf_obj_get_info_by_fd(program, &info, &size) != 0) return FailErrno(errno, "{}: maps", kProgram);
  ids.resize(std::min<size_t>(ids.size(), info.nr_map_ids));
  return ids;
}

// Where in the section's bytes the variable is; nothing if this is not the section or has no such variable.
Result<size_t> OffsetOf(const bpf_map_info& map, std::string_view variable, size_t size) {
  std::unique_ptr<btf, void (*)(btf*)> types(btf__load_from_kernel_by_id(map.btf_id), btf__free);
  if (!types) return FailErrno(errno, "{}: types", map.name);
  const btf_type* section = btf__type_by_id(types.get(), map.btf_value_type_id);
  if (section && btf_is_datasec(section)) {
    for (int i = 0; i < btf_vlen(section); ++i) {
      const btf_var_secinfo& at = btf_var_secinfos(section)[i];
      const btf_type* type = btf__type_by_id(types.get(), at.type);
      const char* name = type ? btf__name_by_offset(types.get(), type->name_off) : nullptr;
      if (name && name == variable && at.size == size && at.offset + size <= map.value_size) return at.offset;
    }
  }
  return Fail(ErrorKind::kNotFound, "{}: no variable {}", map.name, variable);
}

}  // namespace

Result<fairlead_config> ReadLoadedConfig(const ebpf::Pins& pins) {
  const Fd program(bpf_obj_get(pins.ProgramPath(kProgram).c_str()));
  if (!program) return FailErrno(errno, "{}", pins.ProgramPath(kProgram));
  auto maps = MapsOf(program.Get());
  if (!maps) return std::unexpected(maps.error());
  for (uint32_t id : *maps) {
    const Fd map(bpf_map_get_fd_by_id(id));
    bpf_map_info info{};
    uint32_t size = sizeof(info);
    if (!map || bpf_obj_get_info_by_fd(map.Get(), &info, &size) != 0)
      return FailErrno(errno, "{}: map {}", kProgram, id);
    if (!std::string_view(info.name).ends_with(".rodata")) continue;
    auto offset = OffsetOf(info, "config", sizeof(fairlead_config));
    if (!offset) return std::unexpected(offset.error());
    std::vector<std::byte> bytes(info.value_size);
    const uint32_t zero = 0;
    if (bpf_map_lookup_elem(map.Get(), &zero, bytes.data()) != 0) return FailErrno(errno, "{}", info.name);
    fairlead_config config;
    std::memcpy(&config, bytes.data() + *offset, sizeof(config));
    return config;
  }
  return Fail(ErrorKind::kUnsupported, "{}: has no configuration", kProgram);
}

}  // namespace fairlead::ctl
