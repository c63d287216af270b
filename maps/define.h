// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// One declaration a table. In BPF it is the map; in C++ a type that names key, value, kind and name, so that
// a map cannot be given the wrong struct (agent/datapath/ebpf/table.h). `entries` is the size without
// configuration; the loader sets the real one.
#ifndef FAIRLEAD_MAPS_DEFINE_H_
#define FAIRLEAD_MAPS_DEFINE_H_

#include <linux/bpf.h>

#include "fairlead/wire.h"

#ifdef __bpf__
#include <bpf/bpf_helpers.h>
#define FAIRLEAD_TABLE(table_name, kind, flags, key_type, value_type, entries) \
  struct {                                                                     \
    __uint(type, kind);                                                        \
    __uint(map_flags, flags);                                                  \
    __uint(max_entries, entries);                                              \
    __type(key, key_type);                                                     \
    __type(value, value_type);                                                 \
  } table_name SEC(".maps")
#else
#define FAIRLEAD_TABLE(table_name, kind, flags, key_type, value_type, entries) \
  struct table_name##_table {                                                  \
    using Key = key_type;                                                      \
    using Value = value_type;                                                  \
    static constexpr const char* kName = #table_name;                          \
    static constexpr bpf_map_type kKind = kind;                                \
  }
#endif

#endif  // FAIRLEAD_MAPS_DEFINE_H_
