// SPDX-License-Identifier: Apache-2.0
// The tables as text, found the way a program finds them: names and addresses, never ids or places, so that
// two tables that serve alike read alike. What a program would stumble over reads "BROKEN: ...".
#pragma once

#include <map>
#include <string>

#include "agent/datapath/ebpf/table.h"

namespace fairlead::test {

// "172.30.0.10:80/TCP", "NodePort 30080/TCP IPv4", "... from outside", "address 172.30.0.10".
std::string KeyText(const frontend_key& key);

// What the key leads to; "-" if nothing.
//
//   shop/cart:http, affinity 60 s
//     random: 10.180.1.11:8080 (local), 10.180.2.11:8080 x3      (maglev: each with its share, "60%")
//     draining: 10.180.3.11:8080
std::string EntryText(const ebpf::Tables& tables, const frontend_key& key);

// Every live slot: KeyText -> EntryText.
std::map<std::string, std::string> Entries(const ebpf::Tables& tables);

// Entries, and the service CIDRs; one indented block.
std::string Dump(const ebpf::Tables& tables);

}  // namespace fairlead::test
