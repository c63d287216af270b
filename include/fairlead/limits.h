// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Bounds both sides count on. Capacities that an operator sets are configuration (agent/options.h); these are
// not.
#ifndef FAIRLEAD_LIMITS_H_
#define FAIRLEAD_LIMITS_H_

// The layout of the pinned tables. Raised with every change to a header in maps/; the loader refuses or
// migrates what it finds under another number.
#define FAIRLEAD_SCHEMA_VERSION 1U

// Slots a frontend lookup may look at. The table is kept at a quarter of its slots or less, where the chance
// that one key needs more is about 1e-9 (linear probing, (a*e^(1-a))^32 for a = 1/4).
#define FRONTEND_PROBES 32U
#define FRONTEND_SLOTS_PER_ENTRY 4U

// A run's backends are counted in 16 bits; the rest of a larger Service is left out and reported.
#define RUN_BACKENDS_MAX 65535U
// ceil(log2(RUN_BACKENDS_MAX + 1)) steps of the search for a backend id in a run.
#define RUN_SEARCH_STEPS 17U

// Slots of two bytes in one element of `rings`: one cache line.
#define RING_CHUNK_SLOTS 32U

// Destinations one unconnected UDP socket can keep at a time; the oldest gives way.
#define DATAGRAM_PEERS 16U

// TCP sockets connected through Services whose frontend is remembered: sets x ways, 4 MiB.
#define STREAM_PEER_SETS 32768U
#define STREAM_PEER_WAYS 4U

// Prefixes in which an address without a Service is dropped; a cluster has one or two a family.
#define SERVICE_CIDRS_MAX 16U

// Kubernetes names are DNS labels of at most 63 bytes (RFC 1123), and a NUL.
#define NAME_SIZE 64U

#endif  // FAIRLEAD_LIMITS_H_
