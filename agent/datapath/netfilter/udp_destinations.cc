// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/netfilter/udp_destinations.h"

#include <linux/netfilter/nf_conntrack_common.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace fairlead::netfilter {

namespace {

bool HasAddress(const std::vector<ConntrackEntry::End>& ends, const Address& address) {
  const auto at = std::lower_bound(ends.begin(), ends.end(), ConntrackEntry::End{address, 0});
  return at != ends.end() && at->address == address;
}

}  // namespace

UdpDestinations::Port UdpDestinations::From(const plan::ServicePort& port) {
  Port made;
  for (const plan::Frontend& frontend : port.frontends)
    made.destinations.push_back({frontend.address, frontend.port});
  for (const auto* list : {&port.cluster, &port.local, &port.draining}) {
    for (const plan::Backend& backend : *list) made.serving.push_back({backend.address, backend.port});
  }
  for (auto* ends : {&made.destinations, &made.serving}) {
    std::sort(ends->begin(), ends->end());
    ends->erase(std::unique(ends->begin(), ends->end()), ends->end());
  }
  return made;
}

bool UdpDestinations::Note(const plan::Change& change, TimePoint now) {
  Port& port = ports_[change.key];
  Port was = std::exchange(port, change.now ? From(*change.now) : Port{});
  for (const End& each : was.destinations) {
    // Within one batch another service may have taken it over already.
    if (const auto owner = owners_.find(each); owner != owners_.end() && owner->second == &port)
      owners_.erase(owner);
  }
  for (const End& each : port.destinations) owners_[each] = &port;
  Leave(was, port, now);
  const bool lost =
      !std::includes(port.serving.begin(), port.serving.end(), was.serving.begin(), was.serving.end());
  const bool serves_at_last = was.serving.empty() && !port.serving.empty();
  const bool moved = was.destinations != port.destinations;
  if (!change.now) ports_.erase(change.key);
  return lost || serves_at_last || moved;
}

void UdpDestinations::Leave(const Port& was, const Port& is, TimePoint now) {
  std::vector<End> left;
  std::set_difference(was.serving.begin(), was.serving.end(), is.serving.begin(), is.serving.end(),
                      std::back_inserter(left));
  for (const End& destination : was.destinations) {
    const bool stays = std::binary_search(is.destinations.begin(), is.destinations.end(), destination);
    for (const End& backend : stays ? left : was.serving) gone_[destination][backend.address] = now;
  }
}

bool UdpDestinations::SetNode(const plan::NodePlan& node, Family family) {
  std::set<Address> addresses;
  for (const Address& address : node.nodeport_addresses) {
    if (address.GetFamily() == family) addresses.insert(address);
  }
  const bool loopback = family == Family::kIpv4 ? node.loopback_nodeports_v4 : node.loopback_nodeports_v6;
  const bool more = !std::includes(node_.begin(), node_.end(), addresses.begin(), addresses.end()) ||
                    (loopback && !loopback_);
  node_ = std::move(addresses);
  loopback_ = loopback;
  return more;
}

const UdpDestinations::Port* UdpDestinations::Owner(const End& destination) const {
  if (const auto owner = owners_.find(destination); owner != owners_.end()) return owner->second;
  const Address& address = destination.address;
  if (!node_.contains(address) && !(loopback_ && address.IsLoopback())) return nullptr;
  const auto owner = owners_.find({plan::AnyAddress(address.GetFamily()), destination.port});
  return owner == owners_.end() ? nullptr : owner->second;
}

bool UdpDestinations::HasLeft(const End& destination, const Address& backend) const {
  const auto left = gone_.find(destination);
  return left != gone_.end() && left->second.contains(backend);
}

bool UdpDestinations::Stale(const ConntrackEntry& entry) const {
  const bool translated = (entry.status & IPS_DST_NAT) != 0;
  const End& answers = entry.reply_source;
  if (const Port* port = Owner(entry.destination)) {
    if (port->serving.empty()) return translated;
    if (answers == entry.destination)
      return !std::binary_search(port->serving.begin(), port->serving.end(), answers);
    return !HasAddress(port->serving, answers.address);
  }
  if (!translated) return false;
  const End node_port{plan::AnyAddress(entry.destination.address.GetFamily()), entry.destination.port};
  return HasLeft(entry.destination, answers.address) || HasLeft(node_port, answers.address);
}

void UdpDestinations::Forget(TimePoint before) {
  for (auto& [destination, left] : gone_)
    std::erase_if(left, [&](const auto& backend) { return backend.second < before; });
  std::erase_if(gone_, [](const auto& destination) { return destination.second.empty(); });
}

}  // namespace fairlead::netfilter
