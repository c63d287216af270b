// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Bounds both sides count on. Capacities that an operator sets are configuration (agent/options.h); these are
// not.
#ifndef FAIRLEAD_LIMITS_H_
#define FAIRLEAD_LIMITS_H_

// The layout of the pinned tables. Raised with every change to a header in maps/; the loader refuses or
// migrates what it finds under another number.
#define FAIRLEAD_SCHEMA_VERSION 3U

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

// Prefixes whose addresses the local-traffic detector takes for pods: a cluster has one or two a family.
#define POD_CIDRS_MAX 16U

// A set of the flow table: tags of its entries in one word, one byte each.
#define FLOW_WAYS 8U
// Words of 64 bits that say which addresses may be ours (maps/destinations.h): 10,000 Services of two
// families set 2 % of a million bits.
#define DESTINATION_WORDS 16384U
// Source ports drawn for one new flow; about half of all may be taken (maps/nat_ports.h).
#define NAT_TRIES 32U
// An established flow gives way to a new one only if it was idle for so long.
#define FLOW_IDLE_BEFORE_EVICTION_S 300U

// Fragments that came before their first one: so many of a datagram are kept, of so many bytes each.
#define HELD_FRAGMENTS 4U
#define HELD_FRAGMENT_SIZE 2048U

// IPv6 extension headers passed over before the packet counts as malformed.
#define EXTENSION_HEADERS_MAX 6U

// Resets and ICMP messages one CPU sends a second (net.ipv4.icmp_msgs_per_sec is 1000 too), and at once.
#define ANSWERS_PER_S 1000U
#define ANSWERS_BURST 100U

// Kubernetes names are DNS labels of at most 63 bytes (RFC 1123), and a NUL.
#define NAME_SIZE 64U

#endif  // FAIRLEAD_LIMITS_H_
