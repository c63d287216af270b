// SPDX-License-Identifier: Apache-2.0
// Fragments: each is translated by itself, in whatever order they come.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <deque>
#include <numeric>

#include <gmock/gmock.h>

#include "test/support/ebpf/packet_test.h"
#include "test/support/packet/dissect.h"

namespace fairlead::test {
namespace {

using testing::ElementsAre;

constexpr size_t kPiece = 1400;  // bytes of the datagram in one fragment
constexpr int kPieces = 3;
constexpr uint32_t kId = 7;

// Frames from the gateway that come in by eth0 of the node, in order: here only those that a program lets
// come in once more, since a test run's own frame comes by no device.
class ComingIn {
 public:
  explicit ComingIn(const KernelRig& rig) {
    NetnsScope inside(rig.world().Node());
    socket_ = Fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL)));
    sockaddr_ll at{};
    at.sll_family = AF_PACKET;
    at.sll_protocol = htons(ETH_P_ALL);
    at.sll_ifindex = static_cast<int>(rig.IfIndex("eth0"));
    if (::bind(socket_.Get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)) != 0)
      ADD_FAILURE() << "no packet socket";
  }

  // What has come since the last call; waits for `count` frames, but not for ever.
  std::vector<Bytes> Take(size_t count) {
    std::vector<Bytes> frames;
    pollfd readable{socket_.Get(), POLLIN, 0};
    while (frames.size() < count && ::poll(&readable, 1, 2000) == 1) {
      Bytes frame(65536);
      ssize_t size = ::recv(socket_.Get(), frame.data(), frame.size(), 0);
      if (size < 14 || !std::equal(kGatewayMac.begin(), kGatewayMac.end(), &frame[6])) continue;
      frame.resize(static_cast<size_t>(size));
      frames.push_back(std::move(frame));
    }
    return frames;
  }

 private:
  Fd socket_;
};

class FragmentTest : public PacketTest {
 protected:
  static constexpr uint16_t kClientPort = 20000;

  PortOf Dns() const { return PortOf("shop/dns").Udp().LoadBalancer(who.load_balancer, 53).NodePort(30053); }
  Packet Datagram() const {
    return Ip(who.client, who.load_balancer).Udp(kClientPort, 53).Payload(kPiece * (kPieces - 1) + 100);
  }
  static Packet Piece(const Packet& whole, int i) {
    return Packet(whole).Fragment(kId, static_cast<size_t>(i) * kPiece, kPiece);
  }
  // `piece` on its way to a backend on n2.
  Packet AtRemote(const Packet& piece) const {
    return Packet(piece).From(who.node, kClientPort).To(who.remote, 5353).Ttl(63).Link(kNodeMac, kN2Mac);
  }
  size_t Rows(std::string_view table) {
    std::vector<uint8_t> key(sizeof(fragment_key)), next(sizeof(fragment_key));
    size_t rows = 0;
    int fd = rig().MapFd(table);
    for (void* at = nullptr; bpf_map_get_next_key(fd, at, next.data()) == 0; at = key.data(), ++rows)
      key = next;
    return rows;
  }
  // So many ticks go by for what is known of datagrams.
  void PassFragments(uint32_t ticks) {
    Age<fragments_table>(ticks);
    Age<held_fragments_table>(ticks);
  }
  // Frames in by eth0, and those that come in once more after them, until none does: what was sent on, in
  // order.
  std::vector<Bytes> SentOn(const std::vector<Packet>& packets) {
    ComingIn coming_in(rig());
    std::deque<Bytes> waiting;
    for (const Packet& packet : packets) waiting.push_back(packet.Frame());
    std::vector<Bytes> sent;
    while (!waiting.empty()) {
      size_t held = Rows("held_fragments");
      Ran ran = rig().In(waiting.front());
      waiting.pop_front();
      size_t released = held - std::min(held, Rows("held_fragments"));
      if (ran.action == "sent" && released == 0) sent.push_back(ran.frame);
      if (released == 0) continue;
      // All but the last are clones; the last is the frame at hand, which leaves for where it came from.
      EXPECT_EQ(ran.Text(), "sent");
      std::vector<Bytes> again = coming_in.Take(released);
      again.push_back(ran.frame);
      waiting.insert(waiting.begin(), again.begin(), again.end());
    }
    return sent;
  }

 private:
  template <typename Table>
  void Age(uint32_t ticks) {
    ebpf::KernelTable<Table> table(rig().MapFd(Table::kName));
    std::vector<std::pair<typename Table::Key, typename Table::Value>> rows;
    (void)table.ForEach([&](const auto& key, const auto& value) { rows.emplace_back(key, value); });
    for (auto& [key, value] : rows) {
      value.seen -= ticks;
      (void)table.Update(key, value);
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Everywhere, FragmentTest, kEveryPath, PathName);

void ExpectFrames(std::vector<Bytes> got, std::vector<Packet> want) {
  ASSERT_EQ(got.size(), want.size());
  auto by_bytes = [](const Bytes& a, const Bytes& b) { return a < b; };
  std::sort(got.begin(), got.end(), by_bytes);
  std::sort(want.begin(), want.end(),
            [&](const Packet& a, const Packet& b) { return by_bytes(a.Frame(), b.Frame()); });
  for (size_t i = 0; i < got.size(); ++i) ExpectPacket(got[i], want[i]);
}

TEST_P(FragmentTest, LaterOnesGoWhereTheFirstOneWent) {
  rig().Apply({Dns().On({who.At(who.remote, 5353), who.At(who.other_remote, 5353)})});
  Ran first = rig().In(Piece(Datagram(), 0));
  EXPECT_EQ(Outcome(first), "sent to a backend");
  std::string backend =
      Brief(first.frame).find(who.other_remote) == std::string::npos ? who.remote : who.other_remote;
  for (int i : {1, 2}) {
    Ran ran = rig().In(Piece(Datagram(), i));
    EXPECT_EQ(Outcome(ran), "sent to a backend");
    ExpectPacket(ran.frame, AtRemote(Piece(Datagram(), i)).To(backend, 5353));
  }
}

TEST_P(FragmentTest, AnyOrderOfThreeGivesTheSameThreeFrames) {
  std::array<int, kPieces> order{};
  std::iota(order.begin(), order.end(), 0);
  do {
    SCOPED_TRACE(fmt::format("order {}", fmt::join(order, " ")));
    UseRig({});
    rig().Apply({Dns().On({who.At(who.remote, 5353)})});
    std::vector<Packet> in, want;
    for (int i : order) {
      in.push_back(Piece(Datagram(), i));
      want.push_back(AtRemote(Piece(Datagram(), i)));
    }
    ExpectFrames(SentOn(in), want);
    EXPECT_EQ(Rows("held_fragments"), 0U);
    EXPECT_EQ(rig().FlowEntries(), 2U);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_P(FragmentTest, OneBeforeTheFirstIsKeptAndCounted) {
  rig().Apply({Dns().On({who.At(who.remote, 5353)})});
  EXPECT_EQ(rig().In(Piece(Datagram(), 1)).Text(), "drop: uplink HELD_FRAGMENT");
  EXPECT_EQ(rig().FlowEntries(), 0U);
}

TEST_P(FragmentTest, TheFirstOneIsSentBeforeThoseThatWaitedForIt) {
  rig().Apply({Dns().On({who.At(who.remote, 5353)})});
  std::vector<Bytes> sent = SentOn({Piece(Datagram(), 2), Piece(Datagram(), 1), Piece(Datagram(), 0)});
  ASSERT_EQ(sent.size(), 3U);
  ExpectPacket(sent[0], AtRemote(Piece(Datagram(), 0)));
}

TEST_P(FragmentTest, DuplicatesAndOverlapsAreTheBackendsToJudge) {
  rig().Apply({Dns().On({who.At(who.remote, 5353)})});
  Packet second = Piece(Datagram(), 1);
  Packet overlap = Packet(Datagram()).Fragment(kId, 704, 1400);
  ExpectFrames(SentOn({second, second, overlap, Piece(Datagram(), 0), overlap, second}),
               {AtRemote(second), AtRemote(second), AtRemote(second), AtRemote(overlap), AtRemote(overlap),
                AtRemote(Piece(Datagram(), 0))});
}

TEST_P(FragmentTest, NoMoreThanAFewAreKeptOfADatagramThatNeverBegins) {
  rig().Apply({Dns().On({who.At(who.remote, 5353)})});
  for (size_t i = 1; i <= HELD_FRAGMENTS; ++i)
    EXPECT_EQ(rig().In(Packet(Datagram()).Fragment(kId, i * 8, 8)).Text(), "drop: uplink HELD_FRAGMENT");
  EXPECT_EQ(rig().In(Packet(Datagram()).Fragment(kId, 800, 8)).Text(), "drop: uplink DROP_FRAGMENT");
  EXPECT_EQ(Rows("held_fragments"), HELD_FRAGMENTS);
}

TEST_P(FragmentTest, WhatWasKeptForAnOlderDatagramOfThisIdIsForgotten) {
  rig().Apply({Dns().On({who.At(who.remote, 5353)})});
  for (size_t i = 1; i <= HELD_FRAGMENTS; ++i) rig().In(Packet(Datagram()).Fragment(kId, i * 8, 8));
  PassFragments(31);
  Packet second = Piece(Datagram(), 1);
  EXPECT_EQ(rig().In(second).Text(), "drop: uplink HELD_FRAGMENT");
  ExpectFrames(SentOn({Piece(Datagram(), 0)}), {AtRemote(Piece(Datagram(), 0)), AtRemote(second)});
  EXPECT_EQ(Rows("held_fragments"), 0U);
}

TEST_P(FragmentTest, PortsOfAnOlderDatagramOfThisIdAreNotTaken) {
  rig().Apply({Dns().On({who.At(who.remote, 5353)})});
  rig().In(Piece(Datagram(), 0));
  PassFragments(30);
  EXPECT_EQ(Outcome(rig().In(Piece(Datagram(), 1))), "sent to a backend");
  PassFragments(1);
  EXPECT_EQ(rig().In(Piece(Datagram(), 1)).Text(), "drop: uplink HELD_FRAGMENT");
}

TEST_P(FragmentTest, ANewFirstOneOfThisIdSaysWhichPorts) {
  rig().Apply({Dns().On({who.At(who.remote, 5353)})});
  rig().In(Piece(Datagram(), 0));
  Packet next = Packet(Datagram()).From(who.client, 20001);
  rig().In(Piece(next, 0));
  Ran ran = rig().In(Piece(next, 1));
  ExpectPacket(ran.frame, AtRemote(Piece(next, 1)).From(who.node, 20001));
  EXPECT_EQ(rig().FlowOf(next)->packets, 2U);
}

TEST_P(FragmentTest, ATinyFirstOneHoldsTheHeaderOrIsDropped) {
  rig().Apply({Dns().On({who.At(who.remote, 5353)}), Cart().On({who.At(who.remote, 8080)})});
  Packet tiny = Packet(Datagram()).Fragment(kId, 0, 8);
  Ran ran = rig().In(tiny);
  EXPECT_EQ(Outcome(ran), "sent to a backend");
  ExpectPacket(ran.frame, AtRemote(tiny));
  Packet tcp = SynTo(who.load_balancer, 80).Payload(100);
  for (size_t length : {8U, 16U})
    EXPECT_EQ(Outcome(rig().In(Packet(tcp).Fragment(8, 0, length))), "drop: DROP_MALFORMED") << length;
}

TEST_P(FragmentTest, OnesOfAConnectionAreTranslatedAndLeaveItsStateAlone) {
  rig().Apply({Cart().On({who.At(who.remote, 8080)})});
  rig().In(SynTo(who.load_balancer, 80));
  rig().In(Ip(who.remote, who.node).Tcp(8080, 20000).Syn().AckNumber(1001).Link(kN2Mac, kNodeMac));
  Packet data = Ip(who.client, who.load_balancer).Tcp(20000, 80).AckNumber(1).Fin().Payload(2000);
  for (int i : {0, 1}) {
    Ran ran = rig().In(Piece(data, i));
    EXPECT_EQ(Outcome(ran), "sent to a backend");
    ExpectPacket(ran.frame,
                 Piece(data, i).From(who.node, 20000).To(who.remote, 8080).Ttl(63).Link(kNodeMac, kN2Mac));
    EXPECT_EQ(rig().StateOf(data), "half closed");
  }
}

TEST_P(FragmentTest, AnswersFromElsewhereGetTheAddressOfTheServiceInAllTheirFragments) {
  rig().Apply({Dns().On({who.At(who.remote, 5353)})});
  rig().In(Packet(Datagram()).Payload(10));
  Packet answer = Ip(who.remote, who.node).Udp(5353, kClientPort).Payload(2000).Link(kN2Mac, kNodeMac);
  rig().In(Packet(answer).Payload(1));  // finds the way back
  Packet want = Packet(answer).From(who.load_balancer, 53).To(who.client, kClientPort).Ttl(63);
  for (int i : {0, 1}) {
    Ran ran = rig().In(Piece(answer, i));
    EXPECT_EQ(Outcome(ran), "sent to the client");
    ExpectPacket(ran.frame, Piece(want, i).Link(kNodeMac, kGatewayMac));
  }
  Packet next = Packet(answer).Fragment(kId + 1, kPiece, kPiece);
  EXPECT_EQ(rig().In(next).Text(), "drop: uplink HELD_FRAGMENT");
}

TEST_P(FragmentTest, AnswersFromHereGetTheAddressOfTheServiceInAllTheirFragments) {
  rig().Apply({Dns().ExternalLocal().LocalOn({who.At(who.pod, 5353)})});
  rig().In(Packet(Datagram()).Payload(10));
  Packet answer = Ip(who.pod, who.client).Udp(5353, kClientPort).Payload(2000);
  for (int i : {0, 1}) {
    Ran ran = rig().Egress(Piece(answer, i));
    EXPECT_EQ(ran.Text(), "pass: egress RETURNED");
    ExpectPacket(ran.frame, Piece(answer, i).From(who.load_balancer, 53));
  }
}

TEST_P(FragmentTest, OthersAreNeitherRememberedNorKept) {
  rig().Apply({Dns().On({who.At(who.remote, 5353)})});
  Packet other = Packet(Datagram()).To(who.remote, 53);
  for (int i : {1, 0, 2}) {
    Ran ran = rig().In(Piece(other, i));
    EXPECT_EQ(ran.Text(), "pass");
    ExpectPacket(ran.frame, Piece(other, i));
    EXPECT_EQ(rig().Egress(Piece(other, i)).Text(), "pass");
  }
  EXPECT_EQ(Rows("fragments"), 0U);
  EXPECT_EQ(Rows("held_fragments"), 0U);
}

TEST_P(FragmentTest, TheNodesOwnDatagramsArriveWholeInAnyOrder) {
  rig().Apply({Dns().On({who.At(who.remote, 5353)})});
  Packet own = Packet(Datagram()).To(who.node, 4789);
  ComingIn coming_in(rig());
  EXPECT_EQ(rig().In(Piece(own, 1)).Text(), "drop: uplink HELD_FRAGMENT");
  Ran released = rig().In(Piece(own, 0));
  EXPECT_EQ(released.Text(), "sent");
  std::vector<Bytes> clones = coming_in.Take(1);
  ASSERT_EQ(clones.size(), 1U);
  ExpectPacket(clones[0], Piece(own, 0));
  ExpectPacket(released.frame, Piece(own, 1));
  EXPECT_EQ(rig().In(clones[0]).Text(), "pass");
  EXPECT_EQ(rig().In(released.frame).Text(), "pass");
  // More of them than can be kept are the node's to keep.
  for (size_t i = 1; i <= HELD_FRAGMENTS; ++i) rig().In(Packet(own).Fragment(kId + 1, i * 8, 8));
  EXPECT_EQ(rig().In(Packet(own).Fragment(kId + 1, 800, 8)).Text(), "pass");
}

TEST_P(FragmentTest, OneThatIsTooLargeToKeepIsDropped) {
  rig().Apply({Dns().On({who.At(who.remote, 5353)})});
  Packet jumbo = Packet(Datagram()).Payload(8000).Fragment(kId, 4000, 2400);
  EXPECT_EQ(rig().In(jumbo).Text(), "drop: uplink DROP_FRAGMENT");
}

}  // namespace
}  // namespace fairlead::test
