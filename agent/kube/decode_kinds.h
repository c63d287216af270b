// SPDX-License-Identifier: Apache-2.0
// One decoder a kind, and what they share. Each reads the whole object; what is wrong is in the Reader. Two
// severities: what could make traffic go where it must not, or nowhere, refuses the object, and the last good
// one stays in force; what can be missing without harm to the rest is left out with a remark.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "agent/kube/decode_value.h"
#include "agent/kube/objects.h"

namespace fairlead::kube {

Service DecodeService(const Value& object);
EndpointSlice DecodeEndpointSlice(const Value& object);
Node DecodeNode(const Value& object);
ServiceCidr DecodeServiceCidr(const Value& object);

// An address that a client can be sent to or can be told to use: not unspecified, loopback, multicast or
// broadcast. Those would capture, or reach, what belongs to the node itself. Fails otherwise.
std::optional<Address> UnicastAddress(const Value& value);
std::optional<Cidr> Prefix(const Value& value);  // white space around it is trimmed; fails otherwise
// TCP if absent or empty, as the API defaults it.
Protocol ReadProtocol(const Value& value);
// A DNS label of at most 63 characters, or nothing: the API's rule for port names. It ends up in rule names.
std::string PortName(const Value& value);
// RFC 3339 with any offset and fraction, as nanoseconds since 1970; fails if it is none. Absent: 0.
int64_t TimeNs(const Value& value);
// One of `words`, as its index; an absent or empty one is `if_absent`. Fails with the list of words.
size_t Word(const Value& value, std::span<const std::string_view> words, size_t if_absent);

}  // namespace fairlead::kube
