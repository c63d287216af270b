// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Flag bits and small enumerations inside table entries, each with its reason.
#ifndef FAIRLEAD_FLAGS_H_
#define FAIRLEAD_FLAGS_H_

// Who asks (struct frontend_key.scope). Every frontend has a CLUSTER entry: clients in the cluster, which on
// the socket path is all. Only where the answer differs for clients outside (externalTrafficPolicy: Local) is
// there an EXTERNAL one beside it. ADDRESS entries have port and protocol 0 and stand for the address as a
// whole.
enum frontend_scope {
  SCOPE_CLUSTER = 1,  // never 0: a key of zeros is an empty slot
  SCOPE_EXTERNAL = 2,
  SCOPE_ADDRESS = 3,
};

enum frontend_flag {
  FRONTEND_AFFINITY = 1 << 0,            // the run's affinity_timeout_s applies
  FRONTEND_DROP_IF_EMPTY = 1 << 1,       // endpoints exist, but none this policy may use: drop, not reject
  FRONTEND_SOURCE_RANGES = 1 << 2,       // the run's source_set applies
  FRONTEND_TWO_SCOPES = 1 << 3,          // clients outside the cluster: look again with SCOPE_EXTERNAL
  FRONTEND_MASQUERADE = 1 << 4,          // packets: the backend sees an address of the node
  FRONTEND_MASQUERADE_OUTSIDE = 1 << 5,  // the same, but not for clients that are pods
  FRONTEND_DSR = 1 << 6,   // a backend elsewhere gets the packet in a tunnel and answers for itself
  FRONTEND_LIVE = 1 << 7,  // always set: no live entry is all zeros
};

// What an ADDRESS entry says of its address (bits of frontend.offset, which is no offset there).
enum address_role {
  ADDRESS_NODE = 1 << 0,        // answers NodePorts
  ADDRESS_LOOPBACK = 1 << 1,    // answers NodePorts for clients in the node's own namespace
  ADDRESS_CLUSTER_IP = 1 << 2,  // a port no Service defines is rejected; a ping is answered
  ADDRESS_EXTERNAL = 1 << 3,    // of a load balancer, or an external IP: a ping is answered
};

enum frontend_algorithm {
  ALGORITHM_RANDOM = 0,
  ALGORITHM_MAGLEV = 1,
};

enum record_kind {
  RECORD_FREE = 0,
  RECORD_RUN = 1,
  RECORD_BACKEND = 2,
};

enum backend_flag {
  BACKEND_LOCAL = 1 << 0,        // on this node
  BACKEND_TERMINATING = 1 << 1,  // serving while it terminates
};

// Where a packet flow stands (struct flow.state). The order is the order of giving way under pressure, last
// first: an established flow is the last that loses its entry.
enum flow_state {
  FLOW_FREE = 0,
  FLOW_ESTABLISHED = 1,  // TCP: the backend has answered, nobody has closed
  FLOW_STREAM = 2,       // UDP: answered
  FLOW_HALF_CLOSED = 3,  // TCP: one side has closed
  FLOW_UNREPLIED = 4,    // UDP: not answered yet
  FLOW_SYN = 5,          // TCP: not answered yet
  FLOW_CLOSED = 6,       // TCP: both have closed, or a reset: kept for late packets
  FLOW_STATES = 7,
};

enum flow_flag {
  FLOW_REPLY = 1 << 0,        // this entry is for packets from the backend
  FLOW_MASQUERADED = 1 << 1,  // the backend sees an address of the node
  FLOW_LOCAL = 1 << 2,        // the backend is on this node
  FLOW_DSR = 1 << 3,          // packets go in a tunnel; the answers are not seen, and have no entry
  FLOW_FIN_CLIENT = 1 << 4,   // who has closed
  FLOW_FIN_BACKEND = 1 << 5,
  FLOW_BY_STACK = 1 << 6,  // the node's stack delivers, and routes the answers: they are undone as they leave
  FLOW_ANSWERED = 1 << 7,  // TCP: the backend has; established when the client goes on after that
};

// How a flow's packets leave (struct flow.egress).
enum flow_egress {
  EGRESS_UNKNOWN = 0,  // to be looked up with the next packet
  EGRESS_STACK = 1,    // up the node's own stack, which routes and delivers
  EGRESS_DEVICE = 2,   // out of a device, the link addresses are known
  EGRESS_NEIGH = 3,    // out of a device; the kernel finds the neighbour, or needs none
  EGRESS_PEER = 4,     // into the network namespace at the other end of a pod's device
};

enum device_flag {
  DEVICE_UPLINK = 1 << 0,
  DEVICE_POD = 1 << 1,
  DEVICE_DIRECT = 1 << 2,        // packets may enter the pod past the node's stack (EGRESS_PEER)
  DEVICE_NONE_EARLIER = 1 << 3,  // row 0: no connection of an earlier proxy is left
  // Row 0: it serves what begins too, as programs have not been put on every device yet.
  DEVICE_EARLIER_SERVES = 1 << 4,
};

#endif  // FAIRLEAD_FLAGS_H_
