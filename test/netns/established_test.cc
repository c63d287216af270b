// SPDX-License-Identifier: Apache-2.0
// Connections that rules of others began to translate go on after those rules, through the table that keeps
// them, and end without it.
#include "agent/datapath/modes/established.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "agent/datapath/netfilter/conntrack.h"
#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using std::chrono::milliseconds;

constexpr char kBackend[] = "10.180.1.11:8080";
constexpr char kBackend6[] = "[fd00:10:180:1::11]:8080";

struct Rules {
  const char* name;
  std::vector<std::string> make, remove;  // commands
};

std::vector<std::string> Shell(const char* command) {
  return {"sh", "-ec", command};
}

// Each leads the cluster IPs to the backend, as the first rules of the node or the last.
const Rules kRules[] = {
    {"Nft", Shell(R"(nft -f - <<END
table ip services { chain in { type nat hook prerouting priority dstnat; ip daddr 172.30.0.10 tcp dport 80 dnat to 10.180.1.11:8080; }; }
table ip6 services { chain in { type nat hook prerouting priority dstnat; ip6 daddr fd00:172:30::10 tcp dport 80 dnat to [fd00:10:180:1::11]:8080; }; }
END)"),
     Shell("nft delete table ip services; nft delete table ip6 services")},
    {"IptablesNft",
     Shell(
         "iptables-nft -t nat -A PREROUTING -d 172.30.0.10 -p tcp --dport 80 -j DNAT --to 10.180.1.11:8080; "
         "ip6tables-nft -t nat -A PREROUTING -d fd00:172:30::10 -p tcp --dport 80 -j DNAT --to "
         "[fd00:10:180:1::11]:8080"),
     Shell("iptables-nft -t nat -F; ip6tables-nft -t nat -F")},
    {"IptablesLegacy",
     Shell("iptables-legacy -t nat -A PREROUTING -d 172.30.0.10 -p tcp --dport 80 -j DNAT --to "
           "10.180.1.11:8080; "
           "ip6tables-legacy -t nat -A PREROUTING -d fd00:172:30::10 -p tcp --dport 80 -j DNAT --to "
           "[fd00:10:180:1::11]:8080"),
     Shell("iptables-legacy -t nat -F; ip6tables-legacy -t nat -F")},
};

class EstablishedTest : public testing::TestWithParam<Rules> {
 protected:
  void SetUp() override {
    if (const auto why = WhyNoLab()) GTEST_SKIP() << *why;
    lab_.emplace();
    lab_->Serve(kBackend);
    lab_->Serve(kBackend6);
  }

  const Namespace& Host() { return lab_->N1().Net(); }
  void InHost(const std::vector<std::string>& command) {
    const NetnsScope inside(Host());
    const Finished done = test::Run(command);
    ASSERT_EQ(done.status, 0) << done.output;
  }
  void Keep() {
    const NetnsScope inside(Host());
    const auto kept = modes::KeepEstablished();
    ASSERT_TRUE(kept) << kept.error().message;
  }
  bool TableStands() {
    const NetnsScope inside(Host());
    return test::Run({"nft", "list", "table", "inet", "fairlead-established"}).status == 0;
  }
  std::unique_ptr<Client> Connection(std::string_view to) {
    auto client =
        std::make_unique<Client>(lab_->N1().Pod("10.180.0.100"), Proto::kTcp, At(to).address.GetFamily(),
                                 ClientOptions{.timeout = milliseconds(2500)});
    EXPECT_EQ(client->Connect(At(to)), 0);
    EXPECT_EQ(client->Receive().end, End::kReached);
    return client;
  }
  static std::string Echo(Client& client) { return client.Ask("still there?").payload; }

  std::optional<Lab> lab_;
};

INSTANTIATE_TEST_SUITE_P(, EstablishedTest, testing::ValuesIn(kRules),
                         [](const auto& each) { return each.param.name; });

TEST_P(EstablishedTest, ATranslatedConnectionOutlivesTheLastRule) {
  InHost(GetParam().make);
  const auto four = Connection(kVip);
  const auto six = Connection(kVip6);
  Keep();
  EXPECT_TRUE(TableStands());
  InHost(GetParam().remove);
  EXPECT_EQ(Echo(*four), "still there?");
  EXPECT_EQ(Echo(*six), "still there?");
  Keep();
  EXPECT_TRUE(TableStands());
  EXPECT_EQ(Echo(*four), "still there?");
}

TEST_P(EstablishedTest, WithoutTheTableItEnds) {
  InHost(GetParam().make);
  const auto four = Connection(kVip);
  const auto six = Connection(kVip6);
  InHost(GetParam().remove);
  EXPECT_EQ(Echo(*four), "");
  EXPECT_EQ(Echo(*six), "");
}

using EstablishedTableTest = EstablishedTest;
INSTANTIATE_TEST_SUITE_P(, EstablishedTableTest, testing::Values(kRules[0]),
                         [](const auto& each) { return each.param.name; });

TEST_P(EstablishedTableTest, GoesWithTheLastTranslatedEntry) {
  InHost(GetParam().make);
  const auto client = Connection(kVip);
  Keep();
  ASSERT_TRUE(TableStands());
  {
    const NetnsScope inside(Host());
    auto conntrack = netfilter::Conntrack::Open();
    ASSERT_TRUE(conntrack && conntrack->Begin({}));
    std::vector<netfilter::ConntrackEntry> entries;
    for (Result<bool> more = true; more && *more;)
      more = conntrack->Continue([&](const auto& entry) { entries.push_back(entry); });
    uint64_t deleted = 0;
    ASSERT_TRUE(conntrack->Delete(entries, deleted));
    ASSERT_GT(deleted, 0u);
  }
  Keep();
  EXPECT_FALSE(TableStands());
}

TEST_P(EstablishedTableTest, IsNotMadeForConnectionsThatNobodyTranslates) {
  InHost(GetParam().make);
  const auto direct = Connection(kBackend);
  Keep();
  EXPECT_FALSE(TableStands());
}

TEST_P(EstablishedTableTest, IsForgottenWhateverThereIs) {
  InHost(GetParam().make);
  const auto client = Connection(kVip);
  Keep();
  const NetnsScope inside(Host());
  EXPECT_TRUE(modes::ForgetEstablished().value());
  EXPECT_FALSE(modes::ForgetEstablished().value()) << "it is not there any more";
}

}  // namespace
}  // namespace fairlead::test
