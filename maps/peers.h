// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// connected_peer, datagram_peers: what a socket must remember of its translation. Socket storage: it is made
// with the first translation, dies with the socket, and cannot be evicted. Writers and readers: the programs
// of sock_lb; the socket iterator of the agent reads it to find sockets of removed backends.
#ifndef FAIRLEAD_MAPS_PEERS_H_
#define FAIRLEAD_MAPS_PEERS_H_

#include "fairlead/limits.h"
#include "maps/define.h"

struct peer {
  struct ip_addr frontend;  // what the application named
  struct ip_addr backend;   // where it goes
  __be16 frontend_port;
  __be16 backend_port;
  __u32 service_id;
  __u32 backend_id;
  __u8 proto;
  __u8 reserved[3];
};
WIRE_ASSERT(sizeof(struct peer) == 48, "peer has no padding");

struct peers {
  struct peer peer[DATAGRAM_PEERS];
  __u32 next;    // the entry that gives way when all are used
  __u32 latest;  // the entry that the last datagram went by: where two frontends share a backend, an answer
                 // is its
};

// A connected UDP socket: one peer. (TCP: maps/stream_peers.h.)
FAIRLEAD_TABLE(connected_peer, BPF_MAP_TYPE_SK_STORAGE, BPF_F_NO_PREALLOC, int, struct peer, 0);
// An unconnected UDP socket: the last DATAGRAM_PEERS frontends it sent to.
FAIRLEAD_TABLE(datagram_peers, BPF_MAP_TYPE_SK_STORAGE, BPF_F_NO_PREALLOC, int, struct peers, 0);

#endif  // FAIRLEAD_MAPS_PEERS_H_
