// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/objects.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>

#include <algorithm>
#include <cstring>

#include "maps/peers.h"
#include "sock_lb.skel.h"
#include "sock_sweep.skel.h"
#include "tc_lb.skel.h"
#include "xdp_lb.skel.h"

namespace fairlead::ebpf {

namespace {

using Fds = std::map<std::string, Fd, std::less<>>;

// Tables of an object; not the maps libbpf makes of its data sections.
template <typename Visit>
void ForEachTable(bpf_object* object, Visit visit) {
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) {
    if (!bpf_map__is_internal(map)) visit(map, bpf_map__name(map));
  }
}

template <typename Skeleton>
Result<void> LoadOne(Skeleton& skeleton, const char* name, const fairlead_config& config, Fds& fds) {
  Result<void> outcome;
  ForEachTable(skeleton.obj, [&](bpf_map* map, const char* table) {
    auto shared = fds.find(table);
    if (shared != fds.end() && bpf_map__reuse_fd(map, shared->second.Get()) != 0 && outcome)
      outcome = FailErrno(errno, "{}: share {}", name, table);
  });
  if (!outcome) return outcome;
  std::memcpy(&skeleton.rodata->config, &config, sizeof(config));
  if (int error = Skeleton::load(&skeleton); error != 0) return FailErrno(-error, "{}: load", name);
  ForEachTable(skeleton.obj, [&](bpf_map* map, const char* table) {
    if (!fds.contains(table)) fds.emplace(table, Fd(::fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 0)));
  });
  return {};
}

void Destroy(::bpf_link* link) {
  bpf_link__destroy(link);
}

}  // namespace

Objects::Objects()
    : sock_lb_(sock_lb::open(), sock_lb::destroy),
      tc_lb_(tc_lb::open(), tc_lb::destroy),
      xdp_lb_(nullptr, xdp_lb::destroy),
      sock_sweep_(sock_sweep::open(), sock_sweep::destroy),
      sweep_link_(nullptr, Destroy) {}

Objects::~Objects() = default;

Result<std::unique_ptr<Objects>> Objects::Open(bool xdp) {
  std::unique_ptr<Objects> objects(new Objects);
  if (xdp) objects->xdp_lb_.reset(xdp_lb::open());
  if (!objects->sock_lb_ || !objects->tc_lb_ || !objects->sock_sweep_ || (xdp && !objects->xdp_lb_))
    return FailErrno(errno, "open the BPF objects");
  return objects;
}

std::vector<bpf_object*> Objects::All() const {
  std::vector<bpf_object*> all = {sock_lb_->obj, tc_lb_->obj, sock_sweep_->obj};
  if (xdp_lb_) all.push_back(xdp_lb_->obj);
  return all;
}

void Objects::SetSizes(const std::map<std::string, uint32_t, std::less<>>& sizes) {
  for (bpf_object* object : All()) {
    ForEachTable(object, [&](bpf_map* map, const char* table) {
      if (auto size = sizes.find(table); size != sizes.end()) bpf_map__set_max_entries(map, size->second);
    });
  }
}

std::map<std::string, uint32_t, std::less<>> Objects::Tables() const {
  std::map<std::string, uint32_t, std::less<>> tables;
  for (bpf_object* object : All()) {
    ForEachTable(object, [&](const bpf_map* map, const char* table) {
      tables.emplace(table, bpf_map__max_entries(map));
    });
  }
  return tables;
}

Result<void> Objects::Load(const fairlead_config& config, Fds& fds) {
  if (auto loaded = LoadOne(*sock_lb_, "sock_lb", config, fds); !loaded) return loaded;
  if (auto loaded = LoadOne(*tc_lb_, "tc_lb", config, fds); !loaded) return loaded;
  if (xdp_lb_) {
    if (auto loaded = LoadOne(*xdp_lb_, "xdp_lb", config, fds); !loaded) return loaded;
  }
  if (auto loaded = LoadOne(*sock_sweep_, "sock_sweep", config, fds); !loaded) return loaded;
  return AttachSweep(fds.at(connected_peer_table::kName).Get());
}

Result<void> Objects::AttachSweep(int connected_peer_fd) {
  bpf_iter_link_info over{};
  over.map.map_fd = static_cast<uint32_t>(connected_peer_fd);
  bpf_iter_attach_opts iterate{};
  iterate.sz = sizeof(iterate);
  iterate.link_info = &over;
  iterate.link_info_len = sizeof(over);
  sweep_link_.reset(bpf_program__attach_iter(sock_sweep_->progs.find_stale, &iterate));
  if (!sweep_link_) return FailErrno(errno, "sock_sweep: attach");
  return {};
}

Result<Fd> Objects::SweepSockets() const {
  Fd pass(bpf_iter_create(bpf_link__fd(sweep_link_.get())));
  if (!pass) return FailErrno(errno, "sock_sweep: iterate");
  return pass;
}

std::vector<const bpf_program*> Objects::SocketPrograms() const {
  std::vector<const bpf_program*> programs;
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, sock_lb_->obj) programs.push_back(program);
  return programs;
}

const bpf_program* Objects::Program(std::string_view name) const {
  for (bpf_object* object : All()) {
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, object) {
      if (bpf_program__name(program) == name) return program;
    }
  }
  return nullptr;
}

}  // namespace fairlead::ebpf
