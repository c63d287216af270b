// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Every way a program can end, once: name, action, meaning. The only way out of a program counts the verdict
// and maps it to its action.
#ifndef FAIRLEAD_VERDICT_H_
#define FAIRLEAD_VERDICT_H_

// X(name, action, meaning)
#define FAIRLEAD_VERDICTS(X)                                                                                 \
  X(NOT_OURS, PASS, "the destination is no Service's")                                                       \
  X(TRANSLATED, PASS, "sent to a backend")                                                                   \
  X(KEPT, PASS, "of a socket or flow that keeps its backend")                                                \
  X(RETURNED, PASS, "an answer, given the Service's address again")                                          \
  X(ICMP_TRANSLATED, PASS, "an ICMP error about a translated packet, sent to whom it concerns")              \
  X(DECAPSULATED, PASS, "a DSR packet, taken out of its tunnel and sent to the backend here")                \
  X(LEFT_TO_STACK, PASS, "an earlier proxy of this node may have it: left to the stack")                     \
  X(ANSWERED_PING, ANSWER, "a ping of a Service's address, answered")                                        \
  X(TOLD_TOO_BIG, ANSWER, "larger than the path to the backend allows: the sender was told (PMTU)")          \
  X(HELD_FRAGMENT, DROP, "a fragment that came before its first one: kept until that comes")                 \
  X(REJECT_NO_ENDPOINT, REJECT, "the Service has no endpoint anywhere")                                      \
  X(REJECT_UNDEFINED_PORT, REJECT, "the cluster IP has no such port or protocol")                            \
  X(DROP_NO_LOCAL_ENDPOINT, DROP, "the Service has endpoints, but none that its traffic policy allows here") \
  X(DROP_SOURCE_RANGE, DROP, "the client is in none of loadBalancerSourceRanges")                            \
  X(DROP_UNALLOCATED, DROP, "the address is in a ServiceCIDR, but no Service has it")                        \
  X(DROP_MALFORMED, DROP, "for a Service, but its headers end early or contradict each other")               \
  X(DROP_FRAGMENT, DROP, "a fragment whose first one is not known and that could not be kept")               \
  X(DROP_NAT_EXHAUSTED, DROP, "no source port was free towards the backend")                                 \
  X(DROP_FLOWS_FULL, DROP, "every place in the flow table is held by a live flow")                           \
  X(DROP_NO_FLOW, DROP, "of a TCP connection that is not known here, and nothing to begin one with")         \
  X(DROP_NO_ROUTE, DROP, "no route to the backend or back to the client")                                    \
  X(DROP_TTL, DROP, "its TTL or hop limit ended here")                                                       \
  X(DROP_RATE_LIMIT, DROP, "a rejection that was not sent: too many were lately")                            \
  X(DROP_BROKEN_TABLE, DROP, "a table entry pointed nowhere: a defect, please report it")

enum verdict {
#define X(name, action, meaning) VERDICT_##name,
  FAIRLEAD_VERDICTS(X)
#undef X
      VERDICT_COUNT
};

enum action {
  ACTION_PASS,
  ACTION_REJECT,  // the sender is told: errno at a socket, reset or ICMP unreachable for a packet
  ACTION_ANSWER,  // the packet itself became an answer to its sender
  ACTION_DROP,
};

// Rows of `counters`: one block of verdicts a program.
// X(name, text)
#define FAIRLEAD_PROGRAMS(X) \
  X(CONNECT, "connect")      \
  X(SENDMSG, "sendmsg")      \
  X(XDP, "xdp")              \
  X(UPLINK, "uplink")        \
  X(POD, "pod")              \
  X(EGRESS, "egress")

enum program {
#define X(name, text) PROGRAM_##name,
  FAIRLEAD_PROGRAMS(X)
#undef X
      PROGRAM_COUNT
};

#endif  // FAIRLEAD_VERDICT_H_
