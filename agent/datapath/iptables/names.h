// SPDX-License-Identifier: Apache-2.0
// How chains are named and rules are spelled: as iptables-save prints them, so that what stands in the kernel
// and what should can be compared as text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/datapath/netfilter/protocol.h"
#include "agent/plan/plan.h"

namespace fairlead::iptables {

// Tables we have rules in, in the order they are written.
enum class Table : uint8_t { kFilter, kNat };
inline constexpr Table kTables[] = {Table::kFilter, Table::kNat};
std::string_view TableName(Table table);  // "filter", "nat"

inline constexpr std::string_view kServices = "FAIRLEAD-SERVICES";    // by destination address
inline constexpr std::string_view kNodePorts = "FAIRLEAD-NODEPORTS";  // then by port
inline constexpr std::string_view kOutside = "FAIRLEAD-OUTSIDE";      // marks what is not a pod's
inline constexpr std::string_view kPostrouting = "FAIRLEAD-POSTROUTING";
inline constexpr std::string_view kForward = "FAIRLEAD-FORWARD";
inline constexpr std::string_view kFirewall = "FAIRLEAD-FIREWALL";    // guards 127.0.0.0/8
inline constexpr std::string_view kLocalhost = "FAIRLEAD-LOCALHOST";  // counts NodePorts of 127.0.0.0/8
inline constexpr std::string_view kHealth = "FAIRLEAD-HEALTH";        // health check node ports

// Whether a chain is of this datapath; those of ipvs mode (FAIRLEAD-IPVS-*) are not.
bool IsOurs(std::string_view chain);
// Whether it is one that belongs to a single service port.
bool IsOfService(std::string_view chain);

// "FAIRLEAD-SVC-5WJ0Q1ZK8M2X4TB": the kind, and 75 bits of SHA-256 of the name; 28 characters, which is what
// a chain name may have.
std::string ServiceChain(std::string_view kind, const plan::ServicePortKey& key, std::string_view more = {});
std::string HashedName(std::string_view prefix, std::string_view what);

using netfilter::ProtocolWord;
// -p tcp -m comment --comment "shop/cart:http" -m tcp --dport 80
std::string PortMatch(plan::Protocol protocol, std::string_view comment, uint16_t port);
// -m comment --comment "...". What would end the text or the line becomes '_'.
std::string CommentMatch(std::string_view text);
std::string CommentOf(const plan::ServicePortKey& key);  // "shop/cart:http"
// "10.0.0.1/32"
std::string Host(const Address& address);

// "-A CHAIN rule\n"
void AddRule(std::string& body, std::string_view chain, std::string_view rule);
// Puts a comment into the first rule, so that a chain says what it is for.
void CommentFirst(std::string& body, std::string_view comment);

}  // namespace fairlead::iptables
