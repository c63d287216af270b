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
  FRONTEND_AFFINITY = 1 << 0,       // the run's affinity_timeout_s applies
  FRONTEND_DROP_IF_EMPTY = 1 << 1,  // endpoints exist, but none this policy may use: drop, not reject
  FRONTEND_SOURCE_RANGES = 1 << 2,  // the run's source_set applies
  FRONTEND_TWO_SCOPES = 1 << 3,     // clients outside the cluster: look again with SCOPE_EXTERNAL
  FRONTEND_MASQUERADE = 1 << 4,     // clients outside: the backend sees an address of the node
  FRONTEND_LIVE = 1 << 7,           // always set: no live entry is all zeros
};

// What an ADDRESS entry says of its address (bits of frontend.offset, which is no offset there).
enum address_role {
  ADDRESS_NODE = 1 << 0,        // answers NodePorts
  ADDRESS_LOOPBACK = 1 << 1,    // answers NodePorts for clients in the node's own namespace
  ADDRESS_CLUSTER_IP = 1 << 2,  // a port no Service defines is rejected
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

#endif  // FAIRLEAD_FLAGS_H_
