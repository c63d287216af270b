// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/nftables/kernel.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <ranges>

#include "agent/base/exec.h"
#include "agent/base/netlink.h"
#include "agent/datapath/netfilter/nft_table.h"
#include "agent/datapath/nftables/batch.h"
#include "agent/datapath/nftables/script.h"

namespace fairlead::nftables {

namespace {

// A batch is one datagram: room for a million elements.
constexpr int kSendBuffer = 256 << 20;
constexpr int kReceiveBuffer = 4 << 20;
constexpr std::chrono::seconds kScriptDeadline{60};
constexpr size_t kAnswerBuffer = 65536;
// Clients forgotten in one transaction: the refusals of all of them fit the receive buffer.
constexpr size_t kForgetChunk = 1024;

uint16_t Type(uint16_t message) {
  return static_cast<uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | message);
}

NetlinkRequest Get(uint16_t message, uint16_t flags) {
  return NetlinkRequest(Type(message), flags, nfgenmsg{NFPROTO_INET, NFNETLINK_V0, 0});
}

uint64_t HashOf(std::span<const std::byte> bytes) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (std::byte byte : bytes) hash = (hash ^ static_cast<uint64_t>(byte)) * 0x100000001b3ULL;
  return hash;
}

Error ErrorOf(int code, std::string_view what) {
  return FailErrno(code, "table inet {}: {}", kTable, what).error();
}

class NetlinkKernel : public Kernel {
 public:
  NetlinkKernel(Netlink asks, Fd writes, Netlink watch, uint32_t port)
      : asks_(std::move(asks)), writes_(std::move(writes)), watch_(std::move(watch)), port_(port) {}

  Result<void> RemoveTable() override;
  Result<void> Run(std::string_view script) override;
  Result<std::vector<Refusal>> Commit(std::span<const Write> writes) override;
  Result<void> Rewrite(std::span<const MapRule> rules) override;
  Result<Sight> Look() override;
  Result<void> ForEach(Set set, Family family, const std::function<void(Element)>& visit) override;
  Result<std::vector<Remembered>> Clients(const std::string& map) override;
  Result<uint32_t> Forget(const std::string& map, std::span<const Bytes> clients) override;
  Result<uint32_t> Generation() override;
  bool Touched() override;
  int event_fd() const override { return watch_.fd(); }
  uint64_t sent() const override { return sent_; }

 private:
  Result<std::vector<Refusal>> Send(Batch& batch);
  Result<bool> HasTable();
  Result<uint32_t> ForgetChunk(const std::string& map, std::vector<Bytes> clients);
  // What is heard while our own command runs is ours.
  template <typename Command>
  auto Unheard(Command command);
  Result<void> DumpSet(const std::string& set, const Netlink::Visit& visit);
  void Listen();

  Netlink asks_;
  Fd writes_;
  Netlink watch_;
  uint32_t port_;  // of writes_
  std::vector<std::byte> answer_ = std::vector<std::byte>(kAnswerBuffer);
  bool touched_ = false;
  uint64_t sent_ = 0;
};

// Commands are seldom, so their own echo is not told from a stranger's that comes in the same moment: the
// next full pass sees that one by the generation.
template <typename Command>
auto NetlinkKernel::Unheard(Command command) {
  Listen();
  const bool before = touched_;
  auto outcome = command();
  Listen();
  touched_ = before;
  return outcome;
}

Result<void> NetlinkKernel::RemoveTable() {
  auto removed = Unheard([] { return netfilter::RemoveNftTable({NFPROTO_INET, std::string(kTable)}); });
  if (!removed) return std::unexpected(std::move(removed.error()));
  return {};
}

Result<void> NetlinkKernel::Run(std::string_view script) {
  auto ran = Unheard([&] {
    return ExecuteOrFail({.argv = {"nft", "-f", "-"}, .input = script, .deadline = kScriptDeadline});
  });
  sent_ += script.size();
  if (!ran) return std::unexpected(std::move(ran.error()).In(fmt::format("table inet {}", kTable)));
  return {};
}

Result<std::vector<Refusal>> NetlinkKernel::Commit(std::span<const Write> writes) {
  if (writes.empty()) return std::vector<Refusal>{};
  Batch batch;
  for (const Write& write : writes) batch.Add(write);
  return Send(batch);
}

// The kernel works on a batch within send: what it has to say is there afterwards.
Result<std::vector<Refusal>> NetlinkKernel::Send(Batch& batch) {
  const std::span<const std::byte> bytes = batch.Finish();
  sent_ += bytes.size();
  while (::recv(writes_.Get(), answer_.data(), answer_.size(), MSG_DONTWAIT) > 0) {  // of a batch given up
  }
  if (::send(writes_.Get(), bytes.data(), bytes.size(), 0) < 0)
    return std::unexpected(ErrorOf(errno, "send a batch"));
  std::vector<Refusal> refusals;
  std::optional<Error> error;
  bool acknowledged = false;
  for (;;) {
    const ssize_t got = ::recv(writes_.Get(), answer_.data(), answer_.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno != EAGAIN) error = ErrorOf(errno, "the kernel's answer");
    if (got <= 0) break;
    auto left = static_cast<size_t>(got);
    for (auto* at = reinterpret_cast<nlmsghdr*>(answer_.data()); NLMSG_OK(at, left);
         at = NLMSG_NEXT(at, left)) {
      if (at->nlmsg_type != NLMSG_ERROR) continue;
      const int code = -static_cast<nlmsgerr*>(NLMSG_DATA(at))->error;
      acknowledged |= code == 0;
      if (code == 0) continue;
      if (auto group = batch.GroupOf(at->nlmsg_seq)) {
        refusals.push_back({*group, ErrorOf(code, "the kernel refuses elements")});
      } else {
        error = ErrorOf(code, "the kernel refuses the change");
      }
    }
  }
  Listen();
  if (refusals.empty() && error) return std::unexpected(*error);
  if (refusals.empty() && !acknowledged) return std::unexpected(ErrorOf(EIO, "no answer to a batch"));
  return refusals;
}

Result<void> NetlinkKernel::Rewrite(std::span<const MapRule> rules) {
  if (rules.empty()) return {};
  Batch batch;
  std::set<std::string_view> flushed;
  for (const MapRule& rule : rules) {
    if (flushed.insert(rule.chain).second) batch.FlushChain(rule.chain);
    batch.Add(rule);
  }
  auto sent = Send(batch);
  if (!sent) return std::unexpected(sent.error());
  if (!sent->empty()) return std::unexpected(sent->front().error);
  return {};
}

Result<bool> NetlinkKernel::HasTable() {
  NetlinkRequest request = Get(NFT_MSG_GETTABLE, 0);
  const std::string table(kTable);
  request.AddText(NFTA_TABLE_NAME, table);
  auto asked = asks_.Ask(request, [](const NetlinkMessage&) {});
  if (!asked && asked.error().code == ENOENT) return false;
  if (!asked) return std::unexpected(std::move(asked.error()).In("nf_tables"));
  return true;
}

Result<Sight> NetlinkKernel::Look() {
  Sight sight;
  auto has = HasTable();
  if (!has) return std::unexpected(has.error());
  sight.table = *has;
  if (!sight.table) return sight;
  const std::string table(kTable);
  // The table's name is the first attribute of every kind of object; older kernels do not filter by it.
  auto dump = [&](uint16_t message, const std::function<void(const NetlinkMessage&)>& visit) {
    NetlinkRequest request = Get(message, NLM_F_DUMP);
    request.AddText(NFTA_CHAIN_TABLE, table);
    return asks_.Ask(request, [&](const NetlinkMessage& heard) {
      for (const auto& attribute : NetlinkAttributes(heard.body, sizeof(nfgenmsg))) {
        if (attribute.type == NFTA_CHAIN_TABLE && attribute.Text() == table) visit(heard);
      }
    });
  };
  auto name = [](const NetlinkMessage& heard, uint16_t type) {
    for (const auto& attribute : NetlinkAttributes(heard.body, sizeof(nfgenmsg))) {
      if (attribute.type == type) return attribute.Text();
    }
    return std::string();
  };
  std::set<uint64_t> rules;  // a dump that is taken again shows a rule twice
  auto looked = dump(NFT_MSG_GETCHAIN,
                     [&](const NetlinkMessage& heard) { sight.chains.insert(name(heard, NFTA_CHAIN_NAME)); });
  if (looked) {
    looked = dump(NFT_MSG_GETSET,
                  [&](const NetlinkMessage& heard) { sight.maps.insert(name(heard, NFTA_SET_NAME)); });
  }
  if (looked) {
    // The generic header has the generation in it, which is not the rule's.
    looked = dump(NFT_MSG_GETRULE, [&](const NetlinkMessage& heard) {
      rules.insert(HashOf(heard.body.subspan(sizeof(nfgenmsg))));
    });
  }
  for (const std::string& set : NodeSets()) {
    if (!looked || !sight.maps.contains(set)) continue;
    looked = DumpSet(set, [&](const NetlinkMessage& heard) {
      rules.insert(HashOf(heard.body.subspan(sizeof(nfgenmsg))));
    });
  }
  if (!looked) return std::unexpected(std::move(looked.error()).In("nf_tables"));
  sight.rules = rules.size();
  for (uint64_t rule : rules) sight.digest += rule;
  return sight;
}

Result<void> NetlinkKernel::DumpSet(const std::string& set, const Netlink::Visit& visit) {
  const std::string table(kTable);
  NetlinkRequest request = Get(NFT_MSG_GETSETELEM, NLM_F_DUMP);
  request.AddText(NFTA_SET_ELEM_LIST_TABLE, table).AddText(NFTA_SET_ELEM_LIST_SET, set);
  auto asked = asks_.Ask(request, visit);
  if (!asked) return std::unexpected(std::move(asked.error()).In(fmt::format("set {}", set)));
  return {};
}

Result<void> NetlinkKernel::ForEach(Set set, Family family, const std::function<void(Element)>& visit) {
  return DumpSet(SetName(set, family), [&](const NetlinkMessage& heard) {
    for (Element& element : ElementsOf(set, family, heard)) visit(std::move(element));
  });
}

Result<std::vector<Remembered>> NetlinkKernel::Clients(const std::string& map) {
  std::vector<Remembered> clients;
  auto dumped = DumpSet(map, [&](const NetlinkMessage& heard) {
    for (const Remembered& remembered : RememberedOf(heard)) clients.push_back(remembered);
  });
  if (!dumped) return std::unexpected(dumped.error());
  return clients;
}

Result<uint32_t> NetlinkKernel::Forget(const std::string& map, std::span<const Bytes> clients) {
  uint32_t transactions = 0;
  for (; !clients.empty(); clients = clients.subspan(std::min(kForgetChunk, clients.size()))) {
    const auto chunk = clients.first(std::min(kForgetChunk, clients.size()));
    auto forgot = ForgetChunk(map, {chunk.begin(), chunk.end()});
    if (!forgot) return forgot;
    transactions += *forgot;
  }
  return transactions;
}

// A client that has timed out meanwhile is refused: each is a group of its own, so the kernel names all of
// these, and the others go without them.
Result<uint32_t> NetlinkKernel::ForgetChunk(const std::string& map, std::vector<Bytes> clients) {
  while (!clients.empty()) {
    Batch batch;
    for (size_t i = 0; i < clients.size(); ++i) batch.AddForget(map, clients[i], i);
    auto sent = Send(batch);
    if (!sent) return std::unexpected(sent.error());
    if (sent->empty()) return 1;
    std::set<size_t> gone;
    for (const Refusal& refusal : *sent) {
      if (refusal.error.code != ENOENT) return std::unexpected(refusal.error);
      gone.insert(refusal.group);
    }
    for (size_t i : gone | std::views::reverse) clients.erase(clients.begin() + static_cast<long>(i));
  }
  return 0;
}

Result<uint32_t> NetlinkKernel::Generation() {
  uint32_t generation = 0;
  auto asked = asks_.Ask(Get(NFT_MSG_GETGEN, 0), [&](const NetlinkMessage& heard) {
    for (const auto& attribute : NetlinkAttributes(heard.body, sizeof(nfgenmsg))) {
      if (attribute.type == NFTA_GEN_ID) generation = ntohl(attribute.As<uint32_t>());
    }
  });
  if (!asked) return std::unexpected(std::move(asked.error()).In("nf_tables"));
  return generation;
}

void NetlinkKernel::Listen() {
  const bool whole = watch_.Drain([&](const NetlinkMessage& heard) {
    if (heard.port == port_ || touched_) return;
    const auto generic = heard.As<nfgenmsg>();
    if (!generic || generic->nfgen_family != NFPROTO_INET) return;
    for (const auto& attribute : NetlinkAttributes(heard.body, sizeof(nfgenmsg))) {
      touched_ |= attribute.type == NFTA_CHAIN_TABLE && attribute.Text() == kTable;
    }
  });
  touched_ |= !whole;
}

bool NetlinkKernel::Touched() {
  Listen();
  return std::exchange(touched_, false);
}

}  // namespace

Result<std::unique_ptr<Kernel>> OpenKernel() {
  auto asks = Netlink::Open(NETLINK_NETFILTER);
  if (!asks) return std::unexpected(asks.error());
  auto watch = Netlink::Open(NETLINK_NETFILTER, {NFNLGRP_NFTABLES});
  if (!watch) return std::unexpected(watch.error());
  ::setsockopt(watch->fd(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof(kReceiveBuffer));
  Fd writes(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  sockaddr_nl self{};
  self.nl_family = AF_NETLINK;
  socklen_t length = sizeof(self);
  auto* address = reinterpret_cast<sockaddr*>(&self);
  if (!writes || ::bind(writes.Get(), address, sizeof(self)) != 0 ||
      ::getsockname(writes.Get(), address, &length) != 0) {
    return FailErrno(errno, "netlink");
  }
  ::setsockopt(writes.Get(), SOL_SOCKET, SO_SNDBUFFORCE, &kSendBuffer, sizeof(kSendBuffer));
  ::setsockopt(writes.Get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof(kReceiveBuffer));
  // An answer does not carry the whole batch back.
  const int capped = 1;
  ::setsockopt(writes.Get(), SOL_NETLINK, NETLINK_CAP_ACK, &capped, sizeof(capped));
  return std::make_unique<NetlinkKernel>(std::move(*asks), std::move(writes), std::move(*watch), self.nl_pid);
}

}  // namespace fairlead::nftables
