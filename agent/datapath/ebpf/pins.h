// SPDX-License-Identifier: Apache-2.0
// Where things are pinned in bpffs, and the links that keep programs attached to a cgroup:
//
//   DIR/maps/<table>               every table of maps/, under its own name
//   DIR/links/<program>            one bpf_link a program on the cgroup
//   DIR/links/<program>@<device>   and one for each device; a dot of the device's name is a colon here, as
//                                  bpffs keeps dots to itself and no device's name has a colon
//   DIR/programs/<program>         programs that are attached nowhere
//   DIR/programs/clsact@<device>   says that the clsact qdisc of this device is ours (clsact.h)
#pragma once

#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/fd.h"

struct bpf_program;

namespace fairlead::ebpf {

// The name of a link's pin, in parts. `device` is empty for links to the cgroup.
struct LinkName {
  std::string program;
  std::string device;

  std::string ToString() const;
  static LinkName Parse(std::string_view pin);
};

class Pins {
 public:
  explicit Pins(std::string dir) : dir_(std::move(dir)) {}

  // Makes the folders; mounts bpffs on /sys/fs/bpf if DIR is below it and nothing is mounted there.
  Result<void> Prepare() const;

  // Makes this process the only one that writes here, until the Fd goes (or the process ends). Waits a few
  // seconds for another to leave; kUnavailable then.
  Result<Fd> Lock() const;

  std::string MapPath(std::string_view table) const { return dir_ + "/maps/" + std::string(table); }
  std::string LinkPath(std::string_view name) const { return dir_ + "/links/" + std::string(name); }
  std::string ProgramPath(std::string_view name) const { return dir_ + "/programs/" + std::string(name); }
  const std::string& dir() const { return dir_; }

  // An invalid Fd if there is no such pin.
  Fd OpenMap(std::string_view table) const;
  // Pins the map under this name, in place of what may be there.
  Result<void> PinMap(int map_fd, std::string_view table) const;
  void UnpinMap(std::string_view table) const;

  // Pins the object at this path, in place of what may be there.
  static Result<void> Pin(int fd, const std::string& path);

  // Attaches the program to the cgroup through its pinned link: an existing link gets the new program in
  // place, without a moment unattached; a link to another cgroup is replaced after the new one works.
  Result<void> Attach(const bpf_program* program, int cgroup_fd) const;
  void Detach(const std::string& link) const;
  // Names of pinned links.
  std::vector<std::string> Links() const;
  // Names below DIR/programs.
  std::vector<std::string> Programs() const;

  // Detaches and unpins everything under DIR, and removes the folders. What is not there is no error.
  Result<void> RemoveAll() const;

 private:
  std::string dir_;
};

// A cgroup v2 directory: `path`, or the root of the first cgroup2 mount in /proc/mounts if empty.
struct Cgroup {
  Fd fd;
  std::string path;
  uint64_t id = 0;
};
Result<Cgroup> OpenCgroup(const std::string& path);

}  // namespace fairlead::ebpf
