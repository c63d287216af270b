// SPDX-License-Identifier: Apache-2.0
// The ipsets FAIRLEAD-* by which a fixed number of rules serves any number of Services: what each holds, its
// text for `ipset restore`, and reading it back from `ipset save`. Pure.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/datapath/ipvs/server.h"

namespace fairlead::ipvs {

// In the order elements are added; they are removed in the opposite one. So a frontend is guarded before it
// serves, and what is allowed stands before the rest is refused.
enum class SetKind : uint8_t {
  kPods,         // prefixes the local-traffic detector takes for pods
  kHealth,       // health check node ports
  kRanges,       // frontend and client prefix: let in
  kRanged,       // frontends that let in only those
  kLocalNone,    // external frontends of policy Local without a local backend: for pods and the node only
  kNoBackends,   // frontends with nobody to choose: refused
  kMasqAll,      // frontends that masquerade everybody
  kMasqOutside,  // frontends that masquerade who is no pod
  kHairpin,      // local backend and itself as client: masqueraded
  kFrontends,    // address and port of every virtual server of ours: this is also how they are known again
  kAddresses,    // those on our device; whatever is no frontend there is refused
};
inline constexpr SetKind kSetKinds[] = {SetKind::kPods,      SetKind::kHealth,      SetKind::kRanges,
                                        SetKind::kRanged,    SetKind::kLocalNone,   SetKind::kNoBackends,
                                        SetKind::kMasqAll,   SetKind::kMasqOutside, SetKind::kHairpin,
                                        SetKind::kFrontends, SetKind::kAddresses};

struct SetId {
  SetKind kind = SetKind::kFrontends;
  Family family = Family::kIpv4;

  friend auto operator<=>(const SetId&, const SetId&) = default;
};
std::string SetName(SetId id);  // "FAIRLEAD-MASQ-ALL", "FAIRLEAD-MASQ-ALL-6"

struct Element {
  SetId set;
  std::string text;  // as `ipset save` prints it

  friend auto operator<=>(const Element&, const Element&) = default;
};

// "172.30.0.10,tcp:80"
std::string FrontendText(const ServerKey& key);
Element FrontendElement(const ServerKey& key);
Element AddressElement(const Address& address);
// In text of a hash:net part: without the length where it is a single address. A prefix of length 0 is not
// taken by any hash type: two halves stand for it.
std::vector<std::string> NetTexts(const Cidr& cidr);

using Elements = std::set<Element>;

// Input for `ipset restore -exist`: makes the sets of one family that are not there.
std::string CreateSets(Family family);
// Input for `ipset restore -exist`. `elements` in ascending order.
std::string AddElements(std::span<const Element> elements);
std::string RemoveElements(std::span<const Element> elements);

struct SavedSets {
  Elements elements;            // of sets of ours
  std::set<std::string> names;  // of every set that begins with FAIRLEAD-
};
// Passes over sets of others.
SavedSets ReadSave(std::string_view text);
// The virtual server of a kFrontends element; nothing if it does not read as one.
bool ParseFrontend(const Element& element, ServerKey& key);

}  // namespace fairlead::ipvs
