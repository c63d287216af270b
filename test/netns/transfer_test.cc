// SPDX-License-Identifier: Apache-2.0
// What goes through a Service arrives whole, in both directions: streams that the kernel cuts and joins
// (GSO, GRO), datagrams in fragments, paths that take less than the sender's link.
#include <gtest/gtest.h>

#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

constexpr size_t kMegabyte = 1 << 20;
constexpr char kNodePort[] = "192.168.99.11:30001", kNodePort6[] = "[fd00:192:168:99::11]:30001";

class TransferTest : public NodeTest {
 protected:
  void ExpectMegabyte(const Namespace& from, const char* to, const ClientOptions& options = {}) {
    Client client(from, Proto::kTcp, At(to).address.GetFamily(), options);
    ASSERT_EQ(client.Connect(At(to)), 0) << to;
    ASSERT_EQ(client.Receive().end, End::kReached) << to;
    const auto wrong = client.Exchange(kMegabyte);
    EXPECT_FALSE(wrong) << to << ": " << *wrong;
  }
  // `lessons`: datagrams that may be lost while the senders learn what the path takes.
  static void ExpectDatagram(const Namespace& from, const char* to, size_t bytes, int lessons = 0) {
    Client client(from, Proto::kUdp, At(to).address.GetFamily());
    ASSERT_EQ(client.Connect(At(to)), 0) << to;
    std::string text(bytes, '\0');
    for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>(i % 251);
    for (int i = 0; i < lessons; ++i) client.Ask(text);
    for (int i = 0; i < 3; ++i) {
      const Outcome outcome = client.Ask(text);
      EXPECT_TRUE(outcome.payload == text) << bytes << " bytes to " << to << ": " << outcome.ToString();
    }
  }
  // One backend for each family.
  void ProgramOn(const char* pod, const char* pod6, bool local_policy = false) {
    Program(Cart(30001).ExternalLocal(local_policy), CartSlice({pod}), CartSlice({pod6}));
  }
  void ProgramHere(bool local_policy = false) { ProgramOn("10.180.0.11", "fd00:10:180::11", local_policy); }
  void ProgramElsewhere() { ProgramOn("10.180.1.11", "fd00:10:180:1::11"); }
  // From here on `node` takes packets of at most 1300 bytes to the pod; both ends of its link take more.
  static void Narrow(const Node& node, const char* pod, const char* pod6) {
    const std::string device = Node::PodDevice(pod);
    node.Net().Ip(
        fmt::format("route replace {0}/32 dev {2} mtu lock 1300\nroute replace {1}/128 dev {2} mtu "
                    "lock 1300\n",
                    pod, pod6, device));
  }
};

class EveryNetworkTransferTest : public TransferTest, public testing::WithParamInterface<LabOptions> {
  LabOptions Layout() const override { return GetParam(); }
};

TEST_P(EveryNetworkTransferTest, StreamsArriveWholeFromABackendHere) {
  ProgramHere();
  for (const char* to : {kNodePort, kNodePort6}) ExpectMegabyte(Outside(), to);
  ProgramHere(true);
  for (const char* to : {kNodePort, kNodePort6}) ExpectMegabyte(Outside(), to);
}

TEST_P(EveryNetworkTransferTest, StreamsArriveWholeFromABackendElsewhere) {
  ProgramElsewhere();
  for (const char* to : {kNodePort, kNodePort6}) ExpectMegabyte(Outside(), to);
}

TEST_P(EveryNetworkTransferTest, LargeDatagramsArriveWholeFromABackendHere) {
  ProgramHere();
  for (const char* to : {kNodePort, kNodePort6}) {
    for (const size_t bytes : {1200, 8000}) ExpectDatagram(Outside(), to, bytes);
  }
  ProgramHere(true);
  for (const char* to : {kNodePort, kNodePort6}) ExpectDatagram(Outside(), to, 8000);
}

TEST_P(EveryNetworkTransferTest, LargeDatagramsArriveWholeFromABackendElsewhere) {
  ProgramElsewhere();
  const int lessons = GetParam().overlay ? 2 : 0;  // the client's and the backend's: a tunnel takes less
  for (const char* to : {kNodePort, kNodePort6}) {
    ExpectDatagram(Outside(), to, 1200);
    ExpectDatagram(Outside(), to, 8000, lessons);
  }
}

std::string NetworkName(const testing::TestParamInfo<LabOptions>& info) {
  if (info.param.overlay) return "Overlay";
  return info.param.offloads ? "Routed" : "WholeChecksums";
}
INSTANTIATE_TEST_SUITE_P(Network, EveryNetworkTransferTest,
                         testing::Values(LabOptions{}, LabOptions{.offloads = false},
                                         LabOptions{.overlay = true}),
                         NetworkName);

// A router between n1 and the backend's pod says that a packet is too big: it says so to n1, who sent it as
// far as it knows, about a packet that the client never saw in this form.
TEST_F(TransferTest, TheClientLearnsOfANarrowPathToABackendElsewhere) {
  ProgramElsewhere();
  Narrow(TheLab().N2(), "10.180.1.11", "fd00:10:180:1::11");
  for (const char* to : {kNodePort, kNodePort6}) {
    Client client(Outside(), Proto::kTcp, At(to).address.GetFamily());
    ASSERT_EQ(client.Connect(At(to)), 0) << to;
    ASSERT_EQ(client.Receive().end, End::kReached) << to;
    const auto wrong = client.Exchange(kMegabyte);
    EXPECT_FALSE(wrong) << to << ": " << *wrong;
    EXPECT_EQ(client.PathMtu(), 1300) << to;
  }
}

TEST_F(TransferTest, TheClientLearnsOfANarrowPathToABackendHere) {
  for (const bool local_policy : {false, true}) {
    ProgramHere(local_policy);
    Narrow(TheLab().N1(), "10.180.0.11", "fd00:10:180::11");
    for (const char* to : {kNodePort, kNodePort6}) ExpectMegabyte(Outside(), to);
  }
}

TEST_F(TransferTest, ABackendHereLearnsOfANarrowPathToTheClient) {
  const Namespace& client = TheLab().N3().Pod("10.180.2.100");
  Narrow(TheLab().N3(), "10.180.2.100", "fd00:10:180:2::100");
  for (const bool local_policy : {false, true}) {
    ProgramHere(local_policy);
    for (const char* to : {kNodePort, kNodePort6}) ExpectMegabyte(client, to);
  }
}

TEST_F(TransferTest, ABackendElsewhereLearnsOfANarrowPathToTheClient) {
  ProgramElsewhere();
  const Namespace& client = TheLab().N3().Pod("10.180.2.100");
  Narrow(TheLab().N3(), "10.180.2.100", "fd00:10:180:2::100");
  for (const char* to : {kNodePort, kNodePort6}) ExpectMegabyte(client, to);
}

}  // namespace
}  // namespace fairlead::test
