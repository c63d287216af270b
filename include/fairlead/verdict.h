// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Every way a program can end, once: name, action, meaning. The only way out of a program counts the verdict
// and maps it to its action.
#ifndef FAIRLEAD_VERDICT_H_
#define FAIRLEAD_VERDICT_H_

// X(name, action, meaning)
#define FAIRLEAD_VERDICTS(X)                                                                                 \
  X(NOT_OURS, PASS, "the destination is no Service's")                                                       \
  X(TRANSLATED, PASS, "sent to a backend")                                                                   \
  X(KEPT, PASS, "a datagram of a socket that keeps its backend")                                             \
  X(REJECT_NO_ENDPOINT, REJECT, "the Service has no endpoint anywhere")                                      \
  X(REJECT_UNDEFINED_PORT, REJECT, "the cluster IP has no such port or protocol")                            \
  X(DROP_NO_LOCAL_ENDPOINT, DROP, "the Service has endpoints, but none that its traffic policy allows here") \
  X(DROP_SOURCE_RANGE, DROP, "the client is in none of loadBalancerSourceRanges")                            \
  X(DROP_UNALLOCATED, DROP, "the address is in a ServiceCIDR, but no Service has it")                        \
  X(DROP_BROKEN_TABLE, DROP, "a table entry pointed nowhere: a defect, please report it")

enum verdict {
#define X(name, action, meaning) VERDICT_##name,
  FAIRLEAD_VERDICTS(X)
#undef X
      VERDICT_COUNT
};

enum action { ACTION_PASS, ACTION_REJECT, ACTION_DROP };

// Rows of `counters`: one block of verdicts a program.
// X(name, text)
#define FAIRLEAD_PROGRAMS(X) \
  X(CONNECT, "connect")      \
  X(SENDMSG, "sendmsg")

enum program {
#define X(name, text) PROGRAM_##name,
  FAIRLEAD_PROGRAMS(X)
#undef X
      PROGRAM_COUNT
};

#endif  // FAIRLEAD_VERDICT_H_
