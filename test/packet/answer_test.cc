// SPDX-License-Identifier: Apache-2.0
// What senders are told by packets of the node's own: resets, ICMP errors, echo replies. Whole packets.
#include <bpf/bpf.h>
#include <netinet/in.h>

#include <ctime>

#include "maps/answer_budget.h"
#include "test/support/ebpf/packet_test.h"

namespace fairlead::test {
namespace {

constexpr uint8_t kNetworkControl = 0xc0;
constexpr size_t kIpv4Quote = 548, kIpv6Quote = 1232;

class AnswerTest : public PacketTest {
 protected:
  // From the address that `packet` was for to its sender, over the link that it came by.
  Packet AnswerTo(const Packet& packet) const {
    Packet answer(packet.dst(), packet.src());
    return answer.DontFragment(V4()).Link(kNodeMac, kGatewayMac);
  }
  Packet ErrorTo(const Packet& packet) const { return AnswerTo(packet).Tos(V4() ? kNetworkControl : 0); }
  size_t Quote() const { return V4() ? kIpv4Quote : kIpv6Quote; }
  Packet Datagram(std::string_view address, uint16_t port = 80) const {
    return Ip(who.client, address).Udp(20000, port);
  }
  // An IPv4 packet with options, an IPv6 one with extension headers.
  Packet WithMoreHeaders(Packet packet) const {
    return V4() ? packet.Options({7, 7, 4, 0, 0, 0, 0, 0, 0})
                : packet.Extension(IPPROTO_HOPOPTS).Extension(IPPROTO_DSTOPTS, 24);
  }
  // Of every CPU: so many tokens, and no more until `filled_ns`.
  void SetBudget(uint64_t tokens, uint64_t filled_ns) {
    std::vector<answer_budget> budgets(static_cast<size_t>(libbpf_num_possible_cpus()), {filled_ns, tokens});
    uint32_t row = 0;
    ASSERT_EQ(bpf_map_update_elem(rig().MapFd("answer_budget"), &row, budgets.data(), BPF_ANY), 0);
  }
  void SpendBudget() { SetBudget(0, ~uint64_t{0}); }
  void SetUp() override {
    PacketTest::SetUp();
    if (IsSkipped()) return;
    SetBudget(0, 0);
    rig().Apply({Cart()});  // has no endpoint
  }
};
INSTANTIATE_TEST_SUITE_P(Everywhere, AnswerTest, kEveryPath, PathName);

TEST_P(AnswerTest, AConnectionThatNobodyServesIsReset) {
  for (const std::string& address : {who.cluster_ip, who.load_balancer, who.external_ip}) {
    Packet syn = SynTo(address, 80).Seq(7000).TcpOptions({2, 4, 5, 180});
    Ran ran = rig().In(syn);
    EXPECT_EQ(ran.Text(), "sent: uplink REJECT_NO_ENDPOINT") << address;
    ExpectPacket(ran.frame, AnswerTo(syn).Tcp(80, 20000).Rst().Seq(0).AckNumber(7001).Window(0));
  }
}

TEST_P(AnswerTest, APortThatNoServiceDefinesIsReset) {
  Packet syn = SynTo(who.cluster_ip, 81);
  Ran ran = rig().In(syn);
  EXPECT_EQ(Outcome(ran), "sent: REJECT_UNDEFINED_PORT");
  ExpectPacket(ran.frame, AnswerTo(syn).Tcp(81, 20000).Rst().Seq(0).AckNumber(1001).Window(0));
}

// RFC 9293 3.10.7.1: data and FIN count in what is acknowledged.
TEST_P(AnswerTest, AResetAcknowledgesAllThatCameWithoutAnAcknowledgement) {
  Packet syn = SynTo(who.cluster_ip, 80).Seq(0xfffffffe).Payload("hello").Fin();
  ExpectPacket(rig().In(syn).frame, AnswerTo(syn).Tcp(80, 20000).Rst().Seq(0).AckNumber(5).Window(0));
}

TEST_P(AnswerTest, AResetOfAnAcknowledgementHasItsNumber) {
  Packet ack = Ip(who.client, who.cluster_ip).Tcp(20000, 80).Seq(5).AckNumber(0x80000001).Payload(700);
  Ran ran = rig().In(ack);
  EXPECT_EQ(ran.action, "sent");
  ExpectPacket(ran.frame, AnswerTo(ack).Tcp(80, 20000).Rst().Seq(0x80000001).Window(0));
}

TEST_P(AnswerTest, OptionsAndExtensionHeadersAreNotInTheAnswer) {
  Packet syn = WithMoreHeaders(SynTo(who.cluster_ip, 80)).TcpOptions(Bytes(40, 1));
  ExpectPacket(rig().In(syn).frame, AnswerTo(syn).Tcp(80, 20000).Rst().Seq(0).AckNumber(1001).Window(0));
}

TEST_P(AnswerTest, AResetIsNotAnsweredByAReset) {
  Ran ran = rig().In(Ip(who.client, who.cluster_ip).Tcp(20000, 80).Rst());
  EXPECT_EQ(Outcome(ran), "drop: REJECT_NO_ENDPOINT");
}

TEST_P(AnswerTest, ADatagramThatNobodyServesGetsAPortUnreachable) {
  for (size_t payload : {0U, 1U, 2U, 3U, 4U, 100U}) {
    Packet datagram = Datagram(who.cluster_ip).Payload(payload);
    Ran ran = rig().In(datagram);
    EXPECT_EQ(ran.Text(), "sent: uplink REJECT_UNDEFINED_PORT");
    ExpectPacket(ran.frame, ErrorTo(datagram).PortUnreachable(datagram));
  }
}

TEST_P(AnswerTest, AnErrorQuotesAsMuchAsEveryLinkTakes) {
  for (size_t payload : {Quote() - 50, Quote() - 28, Quote() - 27, size_t{1400}, size_t{1401}}) {
    Packet datagram = Datagram(who.cluster_ip).Payload(payload);
    Ran ran = rig().In(datagram);
    ExpectPacket(ran.frame, ErrorTo(datagram).PortUnreachable(datagram, Quote()));
    EXPECT_LE(ran.frame.size(), V4() ? 14U + 576 : 14U + 1280);
  }
}

TEST_P(AnswerTest, AnErrorQuotesOptionsAndExtensionHeaders) {
  Packet datagram = WithMoreHeaders(Datagram(who.cluster_ip)).Payload("x");
  ExpectPacket(rig().In(datagram).frame, ErrorTo(datagram).PortUnreachable(datagram));
}

TEST_P(AnswerTest, PaddingOfTheLinkIsNotQuoted) {
  Packet datagram = Datagram(who.cluster_ip).Payload("x");
  Bytes padded = datagram.Frame();
  padded.resize(padded.size() + 17, 0xee);
  ExpectPacket(rig().In(padded).frame, ErrorTo(datagram).PortUnreachable(datagram));
}

TEST_P(AnswerTest, AnotherProtocolGetsAPortUnreachable) {
  Packet esp = Ip(who.client, who.cluster_ip).Protocol(IPPROTO_ESP).Payload(40);
  Ran ran = rig().In(esp);
  EXPECT_EQ(Outcome(ran), "sent: REJECT_UNDEFINED_PORT");
  ExpectPacket(ran.frame, ErrorTo(esp).PortUnreachable(esp));
}

TEST_P(AnswerTest, NobodyIsToldOfWhatWasForManyOrFromNobody) {
  Packet syn = SynTo(who.cluster_ip, 80);
  EXPECT_EQ(Outcome(rig().In(Packet(syn).Link(kGatewayMac, {1, 0, 0x5e, 0, 0, 1}))),
            "drop: REJECT_NO_ENDPOINT");
  std::vector<std::string> nobody = {"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"};
  if (!V4()) nobody = {"::", "::1", "ff02::1"};
  for (const std::string& source : nobody) {
    EXPECT_EQ(Outcome(rig().In(Packet(syn).From(source))), "drop: REJECT_NO_ENDPOINT") << source;
    EXPECT_EQ(rig().In(Ip(source, who.cluster_ip).Ping(1, 1)).Text(), "pass") << source;
  }
}

TEST_P(AnswerTest, APodIsAnsweredByItsDevice) {
  Packet syn = Ip(who.pod, who.cluster_ip).Tcp(20000, 80).Syn().Link(kPodMac, kHostMac);
  Ran ran = rig().Pod(syn);
  EXPECT_EQ(ran.Text(), "sent: pod REJECT_NO_ENDPOINT");
  ExpectPacket(ran.frame,
               AnswerTo(syn).Tcp(80, 20000).Rst().Seq(0).AckNumber(1001).Window(0).Link(kHostMac, kPodMac));
}

TEST_P(AnswerTest, AnswersBeyondTheBudgetAreNotSent) {
  SpendBudget();
  EXPECT_EQ(Outcome(rig().In(SynTo(who.cluster_ip, 80))), "drop: DROP_RATE_LIMIT");
  EXPECT_EQ(Outcome(rig().In(Datagram(who.cluster_ip))), "drop: DROP_RATE_LIMIT");
  EXPECT_EQ(Outcome(rig().In(Ip(who.client, who.cluster_ip).Ping(1, 1))), "sent: ANSWERED_PING");
}

TEST_P(AnswerTest, TheBudgetAllowsABurstAndNoMore) {
  SetBudget(ANSWERS_BURST, ~uint64_t{0});
  const auto cpus = static_cast<unsigned>(libbpf_num_possible_cpus());
  for (unsigned i = 0; i < cpus * ANSWERS_BURST + 1; ++i)
    rig().RunBare("tc_uplink", SynTo(who.cluster_ip, 80));
  EXPECT_GE(rig().Counted("uplink REJECT_NO_ENDPOINT"), ANSWERS_BURST);
  EXPECT_GE(rig().Counted("uplink DROP_RATE_LIMIT"), 1U);
}

TEST_P(AnswerTest, TimeFillsTheBudgetAgain) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  auto now_ns = static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
  SetBudget(0, now_ns - 2000000000 / ANSWERS_PER_S);
  EXPECT_EQ(Outcome(rig().In(SynTo(who.cluster_ip, 80))), "sent: REJECT_NO_ENDPOINT");
}

TEST_P(AnswerTest, APingOfAServicesAddressIsAnsweredInPlace) {
  for (const std::string& address : {who.cluster_ip, who.load_balancer, who.external_ip}) {
    Packet ping = Ip(who.client, address).Ttl(3).Id(77).Payload("abcdefg").Ping(0x1234, 5);
    Ran ran = rig().In(ping);
    EXPECT_EQ(ran.Text(), "sent: uplink ANSWERED_PING") << address;
    Packet pong = Ip(address, who.client).Ttl(64).Id(77).Payload("abcdefg").Pong(0x1234, 5);
    ExpectPacket(ran.frame, pong.Link(kNodeMac, kGatewayMac));
  }
}

TEST_P(AnswerTest, APingThatLeavesTheNodeIsAnsweredToTheNode) {
  Packet ping = Ip(who.node, who.load_balancer).Ping(1, 2).Link(kNodeMac, kGatewayMac);
  Ran ran = rig().Egress(ping);
  EXPECT_EQ(ran.Text(), "sent: egress ANSWERED_PING");
  ExpectPacket(ran.frame, Ip(who.load_balancer, who.node).Pong(1, 2).Link(kGatewayMac, kNodeMac));
}

TEST_P(AnswerTest, AllFragmentsOfALargePingAreAnswered) {
  Packet ping = Ip(who.client, who.cluster_ip).Payload(200).Ping(1, 2);
  Packet pong = Ip(who.cluster_ip, who.client).Payload(200).Pong(1, 2).Link(kNodeMac, kGatewayMac);
  for (size_t offset : {0U, 104U}) {
    Ran ran = rig().In(Packet(ping).Fragment(9, offset, 104));
    EXPECT_EQ(Outcome(ran), "sent: ANSWERED_PING");
    ExpectPacket(ran.frame, Packet(pong).Fragment(9, offset, 104));
  }
}

TEST_P(AnswerTest, PingsOfTheNodeAndOfOthersPass) {
  for (const std::string& address : {who.node, who.pod, who.remote}) {
    EXPECT_EQ(rig().In(Ip(who.client, address).Ping(1, 1)).Text(), "pass") << address;
    EXPECT_EQ(rig().In(Ip(who.client, who.cluster_ip).Pong(1, 1)).Text(), "pass");
  }
}

class TooBigTest : public AnswerTest {
 protected:
  void SetUp() override {
    AnswerTest::SetUp();
    if (!IsSkipped()) rig().Apply({Cart().On({who.At(who.remote_small, 8080)})});
  }
};
INSTANTIATE_TEST_SUITE_P(Everywhere, TooBigTest, kEveryPath, PathName);

TEST_P(TooBigTest, TheSenderIsToldTheMtuOfTheWay) {
  rig().In(SynTo(who.load_balancer, 80));
  Packet data = Ip(who.client, who.load_balancer).Tcp(20000, 80).Ack().DontFragment(V4()).Payload(1400);
  Ran ran = rig().In(data);
  EXPECT_EQ(ran.Text(), "sent: uplink TOLD_TOO_BIG");
  ExpectPacket(ran.frame, ErrorTo(data).TooBig(1400, data, Quote()));
}

TEST_P(TooBigTest, WhatJustFitsIsSent) {
  rig().In(SynTo(who.load_balancer, 80));
  size_t headers = (V4() ? 20 : 40) + 20;
  Packet data = Ip(who.client, who.load_balancer).Tcp(20000, 80).Ack();
  EXPECT_EQ(Outcome(rig().In(Packet(data).Payload(1400 - headers))), "sent to a backend");
  EXPECT_EQ(Outcome(rig().In(Packet(data).Payload(1401 - headers))), "sent: TOLD_TOO_BIG");
}

TEST_P(TooBigTest, IsRateLimitedToo) {
  rig().In(SynTo(who.load_balancer, 80));
  rig().Apply({PortOf("shop/none").ClusterIp(who.cluster_ip, 80)});
  SpendBudget();
  Packet data = Ip(who.client, who.load_balancer).Tcp(20000, 80).Ack().Payload(1400);
  EXPECT_EQ(Outcome(rig().In(data)), "drop: DROP_RATE_LIMIT");
}

}  // namespace
}  // namespace fairlead::test
