// SPDX-License-Identifier: Apache-2.0
// A story: what happens in a cluster, line by line, and what the tables of node n1 hold then. One text file
// each:
//
//   # a comment
//   node n1 zone=a 192.168.99.11                       this node: its name, zone and addresses; none without
//   the line service shop/cart clusterip=172.30.0.10 port=http:80 nodeport=30001 slice shop/cart
//   port=http:8080 10.180.1.11@n1 10.180.2.11@n2,terminating,notready servicecidr kubernetes 172.30.0.0/16
//   delete service shop/cart
//   restart                                            another agent run over the same tables
//   tables:                                            what has happened is planned and written now
//     172.30.0.10:80/TCP -> shop/cart:http             ... and this is what programs find (dump.h)
//
// Words of a service: clusterip= port=NAME:PORT[/udp] nodeport= externalip= lb= range= affinity=SECONDS
// external-local internal-local created=UNIX set:NAME=VALUE other-proxy. Words of a slice: name=
// port=NAME:PORT[/udp] ipv6, and endpoints
// ADDRESS[@NODE][,notready][,notserving][,terminating][,zone=Z][,on=N]. Words of the node: zone=
// nodeports=CIDR loopback-nodeports refuse-external-ips algorithm=NAME, and addresses.
//
// The tables fail one write in five; what failed is tried again until it is done. Each time the tables are
// looked at, they are also compared with those of a writer that gets the whole plan at once, and taken over
// by one that starts anew and must find nothing to do.
#pragma once

#include <string>

namespace fairlead::test {

// The story with what really came out in place of what was expected. Throws std::runtime_error "line N: ..."
// for a line that is no story, or tables that break a promise.
std::string Replay(const std::string& story);

}  // namespace fairlead::test
