// SPDX-License-Identifier: Apache-2.0
// Kernel maps: shared memory over an mmap-able array, a keyed table by system calls, and pins. Move-only.
#pragma once

#include <bpf/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/fd.h"
#include "agent/datapath/ebpf/table.h"

namespace fairlead::ebpf {

// The elements of an mmap-able array, shared with the programs.
template <typename Value>
class SharedArray {
 public:
  SharedArray() = default;
  SharedArray(SharedArray&& other) noexcept : elements_(std::exchange(other.elements_, {})) {}
  SharedArray& operator=(SharedArray&& other) noexcept {
    std::swap(elements_, other.elements_);
    return *this;
  }
  ~SharedArray() {
    if (!elements_.empty()) ::munmap(elements_.data(), Bytes(elements_.size()));
  }

  // `writable` false maps for reading only, as fairleadctl does.
  static Result<SharedArray> Map(int fd, std::string_view name, size_t count, bool writable) {
    static_assert(sizeof(Value) % 8 == 0, "array elements are rounded up to 8 bytes");
    void* memory =
        ::mmap(nullptr, Bytes(count), writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) return FailErrno(errno, "{}: mmap of {} elements", name, count);
    SharedArray array;
    array.elements_ = {static_cast<Value*>(memory), count};
    return array;
  }

  std::span<Value> elements() const { return elements_; }

 private:
  static size_t Bytes(size_t count) {
    auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    return (count * sizeof(Value) + page - 1) / page * page;
  }
  std::span<Value> elements_;
};

// A map by its fd (not owned).
template <typename Table>
class KernelTable : public KeyedTable<Table> {
 public:
  using typename KeyedTable<Table>::Key;
  using typename KeyedTable<Table>::Value;

  explicit KernelTable(int fd = -1) : fd_(fd) {}

  Result<void> Update(const Key& key, const Value& value) override {
    if (bpf_map_update_elem(fd_, &key, &value, BPF_ANY) == 0) return {};
    return FailErrno(errno, "{}: update", Table::kName);
  }
  Result<void> Delete(const Key& key) override {
    if (bpf_map_delete_elem(fd_, &key) == 0 || errno == ENOENT) return {};
    return FailErrno(errno, "{}: delete", Table::kName);
  }
  // A row that is deleted meanwhile may be missed or, after a restart of the kernel's walk, seen twice.
  Result<void> ForEach(const std::function<void(const Key&, const Value&)>& visit) const override {
    Key key{}, next{};
    const Key* at = nullptr;
    while (bpf_map_get_next_key(fd_, at, &next) == 0) {
      Value value{};
      if (bpf_map_lookup_elem(fd_, &next, &value) == 0) visit(next, value);
      key = next;
      at = &key;
    }
    if (errno == ENOENT) return {};
    return FailErrno(errno, "{}: next key", Table::kName);
  }

 private:
  int fd_;
};

struct MapInfo {
  uint32_t max_entries = 0;
  uint32_t value_size = 0;
  uint32_t key_size = 0;
  uint32_t id = 0;
};
inline Result<MapInfo> GetMapInfo(int fd) {
  bpf_map_info info{};
  uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0) return FailErrno(errno, "map info");
  return MapInfo{info.max_entries, info.value_size, info.key_size, info.id};
}

// Opens a pin; an invalid Fd if nothing is pinned there.
inline Fd OpenPin(const std::string& path) {
  return Fd(bpf_obj_get(path.c_str()));
}

}  // namespace fairlead::ebpf
