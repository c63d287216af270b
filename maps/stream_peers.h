// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// stream_peers: the frontend that a TCP socket connected to, for getpeername. Sets of four entries in an
// array, found by socket cookie. Writers: connect, which takes an entry by compare-and-swap of its cookie,
// and the release hook, which frees it. Readers: getpeername.
//
// Not socket storage, as for UDP: making and freeing one cost 3 % of a connection, and for TCP
// nothing but getpeername depends on it. More than STREAM_PEER_SETS x 4 sockets connected through Services at
// one time overwrite one another's entries; getpeername then shows the backend, and all else works.
#ifndef FAIRLEAD_MAPS_STREAM_PEERS_H_
#define FAIRLEAD_MAPS_STREAM_PEERS_H_

#include "fairlead/limits.h"
#include "maps/define.h"

struct stream_peer {
  __u64 cookie;  // of the socket; 0: free
  struct ip_addr frontend;
  __be32 backend_tail;  // last word of the backend's address: the socket may have connected elsewhere since
  __be16 frontend_port;
  __be16 backend_port;
};
WIRE_ASSERT(sizeof(struct stream_peer) == 32, "stream_peer has no padding");

struct stream_peer_set {
  struct stream_peer entry[STREAM_PEER_WAYS];
};

FAIRLEAD_TABLE(stream_peers, BPF_MAP_TYPE_ARRAY, 0, __u32, struct stream_peer_set, STREAM_PEER_SETS);

#endif  // FAIRLEAD_MAPS_STREAM_PEERS_H_
