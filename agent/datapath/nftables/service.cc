// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/nftables/service.h"

#include <algorithm>
#include <utility>

namespace fairlead::nftables {

namespace {

// The kernel's and nft's limit for a comment, its NUL included (NFTNL_UDATA_COMMENT_MAXLEN).
constexpr size_t kCommentMax = 127;

// How a frontend is served.
struct Way {
  enum class Kind : uint8_t { kChosen, kRejected, kDropped };
  Kind kind = Kind::kChosen;
  bool split = false;                // by client: first `first`, outside clients to the local list
  const Slots* first = nullptr;      // slots from 0 on
  const Slots* here = nullptr;       // slots from kHereSlots on; only if split
  bool first_is_local_list = false;  // whose remembered clients count
};

bool Split(const plan::ServicePort& port, const plan::Frontend& frontend) {
  return port.external_local && frontend.kind != plan::FrontendKind::kClusterIp;
}

bool LeadsToLocal(const plan::ServicePort& port, const plan::Frontend& frontend) {
  return &port.ListFor(frontend.kind, true) == &port.local;
}

Way WayOf(const Standing& standing, const plan::Frontend& frontend) {
  const plan::ServicePort& port = *standing.port;
  Way way;
  way.split = Split(port, frontend);
  way.first_is_local_list = LeadsToLocal(port, frontend);
  way.first = way.first_is_local_list ? &standing.local : &standing.cluster;
  if (way.split) way.here = &standing.local;
  const bool none = way.first->empty() && (!way.here || way.here->empty());
  if (!port.has_any) {
    way.kind = Way::Kind::kRejected;
  } else if (none) {
    way.kind = Way::Kind::kDropped;
  }
  return way;
}

Chain ChainOf(const plan::ServicePort& port, const plan::Frontend& frontend, const Way& way) {
  Chain chain;
  chain.node_port = frontend.kind == plan::FrontendKind::kNodePort;
  chain.family = port.key.family;
  chain.count = static_cast<uint32_t>(way.first->size());
  if (way.split) {
    chain.kind = Chain::Kind::kLocal;
    chain.here = static_cast<uint32_t>(way.here->size());
  } else if (frontend.masquerade == plan::Masquerade::kAll) {
    chain.kind = Chain::Kind::kMasquerade;
  } else if (frontend.masquerade == plan::Masquerade::kOutside) {
    chain.kind = Chain::Kind::kOutside;
  }
  return chain;
}

std::string CommentOf(const plan::ServicePortKey& key) {
  std::string comment = key.service.ToString();
  if (!key.port.empty()) comment += ":" + key.port;
  return comment.substr(0, kCommentMax);
}

// The elements of one frontend, one after the other.
class FrontendElements {
 public:
  FrontendElements(const Standing& standing, const plan::Frontend& frontend, std::vector<Element>& to)
      : port_(*standing.port),
        frontend_(frontend),
        way_(WayOf(standing, frontend)),
        node_port_(frontend.kind == plan::FrontendKind::kNodePort),
        comment_(CommentOf(port_.key)),
        to_(to) {
    if (!node_port_) key_.Add(frontend.address);
    key_.Add(port_.key.protocol).AddPort(frontend.port);
  }

  void Append() {
    if (frontend_.kind == plan::FrontendKind::kLoadBalancer && port_.has_source_ranges) AppendRanges();
    if (way_.kind != Way::Kind::kChosen) {
      Element& refusal = Add(node_port_ ? Set::kNoEndpointNodePorts : Set::kNoEndpoints);
      refusal.verdict = way_.kind == Way::Kind::kRejected ? Verdict::kGoto : Verdict::kDrop;
      if (refusal.verdict == Verdict::kGoto) refusal.chain = "rejects";
      return;
    }
    Lead(node_port_ ? Set::kNodePorts : Set::kServices, Verdict::kGoto,
         ChainOf(port_, frontend_, way_).Name());
    AppendSlots(*way_.first, 0);
    if (way_.split) AppendSlots(*way_.here, kHereSlots);
    if (auto sticky = StickyOf(port_)) AppendSticky(*sticky);
  }

 private:
  Element& Add(Set set) {
    Element& element = to_.emplace_back();
    element.set = set;
    element.family = port_.key.family;
    element.key = key_;
    element.comment = comment_;
    return element;
  }

  void Lead(Set set, Verdict verdict, std::string chain) {
    Element& element = Add(set);
    element.verdict = verdict;
    element.chain = std::move(chain);
  }

  // Without a comment: they are many, and their frontend has one.
  void AppendSlots(const Slots& slots, uint32_t offset) {
    for (size_t i = 0; i < slots.size(); ++i) {
      Element& element = Add(node_port_ ? Set::kNodePortBackends : Set::kBackends);
      element.comment.clear();
      element.key.AddSlot(offset + static_cast<uint32_t>(i));
      element.value.Add(slots[i].address).AddPort(slots[i].port);
    }
  }

  // An interval set refuses overlaps, so a range within another is left out.
  void AppendRanges() {
    Add(Set::kGuarded);
    for (const Cidr& range : port_.source_ranges) {
      const bool inside = std::ranges::any_of(port_.source_ranges, [&](const Cidr& other) {
        return other.bits < range.bits && other.Contains(range.base);
      });
      if (inside) continue;
      Address last = range.base;
      for (size_t bit = range.WireBits(); bit < 128; ++bit)
        last.raw.bytes[bit / 8] = static_cast<uint8_t>(last.raw.bytes[bit / 8] | 0x80U >> bit % 8);
      Element& element = Add(Set::kSourceRanges);
      element.comment.clear();
      element.key_end = element.key;
      element.key.Add(range.base);
      element.key_end.Add(last);
    }
  }

  void AppendSticky(const Sticky& sticky) {
    const bool of_local = way_.first_is_local_list;
    Lead(node_port_ ? Set::kStickyNodePorts : Set::kSticky, Verdict::kJump, sticky.Chain(of_local));
    if (way_.split) {
      Lead(node_port_ ? Set::kStickyHereNodePorts : Set::kStickyHere, Verdict::kJump, sticky.Chain(true));
    }
    Lead(node_port_ ? Set::kRememberNodePorts : Set::kRemember, Verdict::kGoto,
         way_.split ? sticky.RememberSplit() : sticky.Remember(of_local));
  }

  const plan::ServicePort& port_;
  const plan::Frontend& frontend_;
  const Way way_;
  const bool node_port_;
  const std::string comment_;
  Bytes key_;
  std::vector<Element>& to_;
};

// The lists that some frontend leads to.
struct Used {
  bool cluster = false, local = false, split = false;
};

Used UsedBy(const plan::ServicePort& port) {
  Used used;
  for (const plan::Frontend& frontend : port.frontends) {
    const bool split = Split(port, frontend);
    const bool local = LeadsToLocal(port, frontend);
    used.split |= split;
    used.local |= split || local;
    used.cluster |= !local;
  }
  return used;
}

}  // namespace

Standing Standing::Of(std::shared_ptr<const plan::ServicePort> port, const Standing* before) {
  Standing standing;
  const Used used = UsedBy(*port);
  static const Slots kNone;
  if (used.cluster) standing.cluster = Place(before ? before->cluster : kNone, Weighted(port->cluster));
  if (used.local) standing.local = Place(before ? before->local : kNone, Weighted(port->local));
  standing.port = std::move(port);
  return standing;
}

std::vector<Element> OwnElements(const Standing& standing) {
  std::vector<Element> elements;
  elements.reserve(standing.port->frontends.size() * (standing.cluster.size() + standing.local.size() + 4));
  for (const plan::Frontend& frontend : standing.port->frontends)
    FrontendElements(standing, frontend, elements).Append();
  return elements;
}

std::vector<Element> SharedElements(const Standing& standing) {
  const plan::ServicePort& port = *standing.port;
  std::vector<Element> elements;
  auto add = [&](Set set) -> Element& {
    Element& element = elements.emplace_back();
    element.set = set;
    element.family = port.key.family;
    return element;
  };
  for (const plan::Frontend& frontend : port.frontends) {
    if (frontend.kind == plan::FrontendKind::kClusterIp) add(Set::kClusterIps).key.Add(frontend.address);
  }
  // A pod of another node meets itself only where it is told from outside clients: those are masqueraded.
  const bool split = UsedBy(port).split;
  for (const auto* list : {&port.cluster, &port.local}) {
    for (const plan::Backend& backend : *list) {
      if (backend.local || split) add(Set::kHairpin).key.Add(backend.address).Add(backend.address);
    }
  }
  std::ranges::sort(elements);
  auto [first, last] = std::ranges::unique(elements);
  elements.erase(first, last);
  return elements;
}

void AddChains(const Standing& standing, std::set<Chain>& to) {
  for (const plan::Frontend& frontend : standing.port->frontends) {
    const Way way = WayOf(standing, frontend);
    if (way.kind == Way::Kind::kChosen) AddWithNext(ChainOf(*standing.port, frontend, way), to);
  }
}

std::optional<Sticky> StickyOf(const plan::ServicePort& port) {
  if (port.affinity_timeout_s == 0) return std::nullopt;
  const Used used = UsedBy(port);
  return Sticky{port.key, port.affinity_timeout_s, used.cluster, used.local, used.split};
}

}  // namespace fairlead::nftables
