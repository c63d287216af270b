// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Translates packets of Services at TC: what comes from outside, and from pods whose sockets are not seen.
//
//   tc_uplink   in by a device of the node: 1 dissect  2 conntrack  3 find  4 pick  5 rewrite  6 send
//   tc_pod      in from a pod: the same walk; answers of masqueraded flows, and clients without socket hooks
//   tc_egress   out by any of them: answers that the stack has routed get the Service's address
//   tc_explain  attached nowhere: the walk of an imaginary packet, step by step, for fairleadctl explain
#include "lib/skb.bpf.h"

#include "lib/explain_socket.bpf.h"
#include "lib/walk.bpf.h"

char _license[] SEC("license") = "Dual BSD/GPL";

SEC("tc")
int tc_uplink(struct __sk_buff* skb) {
  return walk(skb, PROGRAM_UPLINK, false);
}

SEC("tc")
int tc_pod(struct __sk_buff* skb) {
  return walk(skb, PROGRAM_POD, false);
}

SEC("tc")
int tc_egress(struct __sk_buff* skb) {
  return walk(skb, PROGRAM_EGRESS, false);
}

SEC("tc")
int tc_explain(struct __sk_buff* skb) {
  struct explain* row = explain_row();
  if (!row) return TC_ACT_UNSPEC;
  row->steps = 0;
  switch (row->at) {
    case EXPLAIN_SOCKET:
      explain_socket(skb, row->netns_cookie);
      return TC_ACT_UNSPEC;
    case EXPLAIN_POD:
      return walk(skb, PROGRAM_POD, true);
    case EXPLAIN_EGRESS:
      return walk(skb, PROGRAM_EGRESS, true);
    default:
      return walk(skb, PROGRAM_UPLINK, true);
  }
}
