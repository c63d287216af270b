// SPDX-License-Identifier: Apache-2.0
// Ports that the node's own sockets have or may be given by the kernel, in the network namespace of the
// caller's thread.
#pragma once

#include <string_view>

#include "agent/base/error.h"
#include "agent/datapath/ebpf/port_set.h"

namespace fairlead::ebpf {

struct HostPorts {
  PortSet bound;      // by a listening TCP socket or any UDP socket, of either family and any address
  PortSet ephemeral;  // what the kernel takes for sockets that do not ask for a port
};

Result<HostPorts> ReadHostPorts();

// Of the texts of net.ipv4.ip_local_port_range ("32768\t60999", both are in it) and ip_local_reserved_ports
// ("8080,9000-9100", may be empty), which hold for IPv6 too. A reserved port is one the kernel does not take
// for such sockets, so it is not in the result: it may be NAT's until somebody binds it.
Result<PortSet> EphemeralPorts(std::string_view range, std::string_view reserved);

}  // namespace fairlead::ebpf
