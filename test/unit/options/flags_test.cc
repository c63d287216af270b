// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "agent/config/field.h"
#include "test/unit/options/support.h"

namespace fairlead {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(Flags, WithoutAnyTheDefaultsStand) {
  auto options = Read({});
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(*options, Options{});
}

TEST(Flags, AreTakenInEverySpellingOfKubeProxy) {
  Options expected;
  expected.verbosity = 2;
  expected.masquerade_all = true;
  expected.cluster_cidr = "10.244.0.0/16";
  const std::vector<std::vector<std::string>> spellings = {
      {"--v=2", "--masquerade-all", "--cluster-cidr=10.244.0.0/16"},
      {"-v=2", "--masquerade-all=true", "--cluster-cidr", "10.244.0.0/16"},
      {"-v", "2", "--masquerade_all", "--cluster_cidr", "10.244.0.0/16"},
      {"-v2", "--masquerade-all=1", "--cluster-cidr=10.0.0.0/8", "--cluster-cidr=10.244.0.0/16"},
  };
  for (const auto& spelling : spellings) {
    auto options = Read(spelling);
    ASSERT_TRUE(options) << options.error().message;
    options->warnings.clear();
    EXPECT_EQ(*options, expected) << spelling[0];
  }
}

TEST(Flags, ASwitchTakesNoWordAfterIt) {
  auto options = Read({"--dry-run", "--cleanup=false", "--bind-address-hard-fail", "-v", "1"});
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_TRUE(options->dry_run);
  EXPECT_FALSE(options->cleanup);
  EXPECT_TRUE(options->bind_address_hard_fail);
  EXPECT_EQ(options->verbosity, 1);
}

TEST(Flags, ListsAddUpAndMayBeEmpty) {
  auto options = Read(
      {"--nodeport-addresses=10.0.0.0/8,fd00::/8", "--nodeport-addresses", "primary", "--cluster-cidr="});
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_THAT(options->nodeport_addresses, ElementsAre("10.0.0.0/8", "fd00::/8", "primary"));
  EXPECT_EQ(options->cluster_cidr, "");
}

TEST(Flags, OurOwnAreRead) {
  auto options = Read({"--manifests=/m", "--context", "lab", "--cgroup=/sys/fs/cgroup/unified",
                       "--bpffs-dir=/bpf/x", "--devices=eth*,bond0", "--pod-devices=tap*", "--xdp=off",
                       "--netns-dirs=/a,/b", "--write-config-to=-", "--dry-run"});
  ASSERT_TRUE(options) << options.error().message;
  Options expected;
  expected.manifests = "/m";
  expected.context = "lab";
  expected.cgroup = "/sys/fs/cgroup/unified";
  expected.bpffs_dir = "/bpf/x";
  expected.devices = "eth*,bond0";
  expected.pod_devices = "tap*";
  expected.xdp = "off";
  expected.netns_dirs = {"/a", "/b"};
  expected.write_config_to = "-";
  expected.dry_run = true;
  EXPECT_EQ(*options, expected);
}

TEST(Flags, PeriodsAreGoDurations) {
  auto options = Read({"--iptables-sync-period=1m30s", "--iptables-min-sync-period=250ms"});
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->sync_period, std::chrono::seconds(90));
  EXPECT_EQ(options->min_sync_period, std::chrono::milliseconds(250));
}

TEST(Flags, IpvsPeriodsHoldInIpvsModeAndOthersDoNot) {
  auto options = Read({"--proxy-mode=ipvs", "--ipvs-sync-period=9s", "--iptables-sync-period=8s"});
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->sync_period, std::chrono::seconds(9));
  EXPECT_THAT(options->warnings, ElementsAre("--iptables-sync-period: has no effect in mode ipvs"));
}

TEST(Flags, ListenersFollowAddressesPortsAndFamily) {
  struct Case {
    std::vector<std::string> flags;
    std::string healthz, metrics;
  };
  const Case cases[] = {
      {{"--healthz-bind-address=127.0.0.1"}, "127.0.0.1:10256", "127.0.0.1:10249"},
      {{"--healthz-bind-address=[::]:80", "--metrics-bind-address=::1"}, "[::]:80", "[::1]:10249"},
      {{"--healthz-bind-address=", "--metrics-bind-address=off"}, "", ""},
      {{"--healthz-port=0", "--metrics-port=1000"}, "", "127.0.0.1:1000"},
      {{"--bind-address=::"}, "[::]:10256", "[::1]:10249"},
  };
  for (const Case& c : cases) {
    auto options = Read(c.flags);
    ASSERT_TRUE(options) << options.error().message;
    EXPECT_EQ(options->healthz_bind_address, c.healthz) << c.flags[0];
    EXPECT_EQ(options->metrics_bind_address, c.metrics) << c.flags[0];
  }
}

TEST(Flags, HostnameIsTrimmedAndLowerCase) {
  auto options = Read({"--hostname-override= Node-1.Example "});
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->hostname_override, "node-1.example");
}

TEST(Flags, WrongValuesAreRefusedByName) {
  struct Case {
    std::vector<std::string> flags;
    std::string message;
  };
  const Case cases[] = {
      {{"--proxy-mode=iptable"},
       "--proxy-mode: expected one of auto, ebpf, nftables, ipvs or iptables, got \"iptable\" (did you mean "
       "iptables?)"},
      {{"--proxy-mode=kernelspace"},
       "--proxy-mode: expected one of auto, ebpf, nftables, ipvs or iptables, got \"kernelspace\""},
      {{"--cluster-cidr=10.244.0.0"},
       "--cluster-cidr: expected a CIDR such as 10.244.0.0/16 or fd00::/48, got \"10.244.0.0\""},
      {{"--cluster-cidr=10.0.0.0/8,11.0.0.0/8"},
       "--cluster-cidr: expected one CIDR, or one of each family with a comma between, got "
       "\"10.0.0.0/8,11.0.0.0/8\""},
      {{"--nodeport-addresses=eth0"},
       "--nodeport-addresses: expected CIDRs, primary, localhost or all, got \"eth0\""},
      {{"--pod-bridge-interface=cni0 -j ACCEPT"},
       "--pod-bridge-interface: expected a network device's name (at most 15 letters, digits and \"._@-\"), "
       "got \"cni0 -j ACCEPT\""},
      {{"--pod-bridge-interface=abcdefghijklmnop"},
       "--pod-bridge-interface: expected a network device's name (at most 15 letters, digits and \"._@-\"), "
       "got \"abcdefghijklmnop\""},
      {{"--pod-interface-name-prefix=veth+"},
       "--pod-interface-name-prefix: expected how names of network devices begin (at most 14 letters, digits "
       "and \"._@-\", no wildcard), got \"veth+\""},
      {{"--healthz-bind-address=0.0.0.0:70000"},
       "--healthz-bind-address: expected IP:port, [IPv6]:port or \"off\", got \"0.0.0.0:70000\""},
      {{"--metrics-bind-address=localhost:1"},
       "--metrics-bind-address: expected IP:port, [IPv6]:port or \"off\", got \"localhost:1\""},
      {{"--masquerade-all=maybe"}, "--masquerade-all: expected true or false, got \"maybe\""},
      {{"-v=high"}, "--v: expected a whole number from 0 to 2147483647, got \"high\""},
      {{"--iptables-masquerade-bit=32"},
       "--iptables-masquerade-bit: expected a whole number from 0 to 31, got \"32\""},
      {{"--iptables-sync-period=30"},
       "--iptables-sync-period: expected a duration such as 30s or 1m30s, got \"30\""},
      {{"--iptables-sync-period=-1s"},
       "--iptables-sync-period: expected a duration that is not negative, got \"-1s\""},
      {{"--iptables-sync-period=0"}, "--iptables-sync-period: expected a sync period of more than 0, got 0"},
      {{"--iptables-sync-period=1s", "--iptables-min-sync-period=2s"},
       "--iptables-min-sync-period: expected at most the sync period, which is 1s (--iptables-sync-period), "
       "got 2s"},
      {{"--iptables-min-sync-period=1m"},
       "--iptables-min-sync-period: expected at most the sync period, which is 30s (the default), got 1m0s"},
      {{"--proxy-mode=ipvs", "--ipvs-sync-period=0"},
       "--ipvs-sync-period: expected a sync period of more than 0, got 0"},
      {{"--proxy-mode=ipsv"},
       "--proxy-mode: expected one of auto, ebpf, nftables, ipvs or iptables, got \"ipsv\""},
      {{"--ipvs-tcp-timeout=600h"},
       "--ipvs-tcp-timeout: expected a duration of at most 596h31m23s, got \"600h\""},
      {{"--ipvs-udp-timeout=597h"},
       "--ipvs-udp-timeout: expected a duration of at most 596h31m23s, got \"597h\""},
      {{"--ipvs-exclude-cidrs=10.0.0.1"},
       "--ipvs-exclude-cidrs: expected a CIDR such as 10.244.0.0/16 or fd00::/48, got \"10.0.0.1\""},
      {{"--ipvs-strict-arp=yes"}, "--ipvs-strict-arp: expected true or false, got \"yes\""},
      {{"--conntrack-min=1e6"}, "--conntrack-min: expected a whole number from 0 to 2147483647, got \"1e6\""},
      {{"--conntrack-tcp-be-liberal=2"}, "--conntrack-tcp-be-liberal: expected true or false, got \"2\""},
      {{"--remove-kube-proxy=maybe"}, "--remove-kube-proxy: expected true or false, got \"maybe\""},
      {{"--oom-score-adj", "-1001"},
       "--oom-score-adj: expected a whole number from -1000 to 1000, got \"-1001\""},
      {{"--feature-gates=A"}, "--feature-gates: expected Name=true or Name=false, got \"A\""},
      {{"--ipvs-scheduler=wlcc"},
       "--ipvs-scheduler: expected one of rr, wrr, lc, wlc, lblc, lblcr, sh, dh, sed, nq or mh, got \"wlcc\" "
       "(did you "
       "mean wlc?)"},
      {{"--detect-local-mode=BridgeInterface"},
       "detectLocalMode BridgeInterface needs detectLocal.bridgeInterface (--pod-bridge-interface)"},
      {{"--bpffs-dir=here"}, "--bpffs-dir: expected an absolute path, got \"here\""},
      {{"--devices=averylongdevicename"},
       "--devices: expected device names or globs of at most 15 letters, got \"averylongdevicename\""},
      {{"--xdp=on"}, "--xdp: expected one of auto, native, generic or off, got \"on\""},
      {{"--manifests=a\nb"}, "--manifests: expected UTF-8 text without control characters, got \"a\\x0ab\""},
      {{"--context=\xc3("}, "--context: expected UTF-8 text without control characters, got \"\\xc3(\""},
  };
  for (const Case& c : cases) {
    auto options = Read(c.flags);
    ASSERT_FALSE(options) << c.flags[0];
    EXPECT_EQ(options.error().message, c.message);
    EXPECT_EQ(options.error().kind, ErrorKind::kInvalid);
  }
}

TEST(Flags, UnknownOnesAreRefusedWithTheNearestKnown) {
  const std::pair<const char*, const char*> cases[] = {
      {"--cluster-cdir=10.0.0.0/8", "unknown flag \"--cluster-cdir\" (did you mean --cluster-cidr?)"},
      {"--proxymode", "unknown flag \"--proxymode\" (did you mean --proxy-mode?)"},
      {"--frobnicate", "unknown flag \"--frobnicate\""},
      {"-x", "unknown flag \"-x\""},
      {"manifests.yaml", "unexpected argument \"manifests.yaml\": fairlead takes flags only"},
  };
  for (const auto& [flag, message] : cases) {
    auto options = Read({flag});
    ASSERT_FALSE(options) << flag;
    EXPECT_EQ(options.error().message, message);
  }
}

TEST(Flags, AMissingValueIsRefused) {
  auto options = Read({"--cluster-cidr"});
  ASSERT_FALSE(options);
  EXPECT_THAT(options.error().message, HasSubstr("--cluster-cidr"));
}

TEST(Flags, OptionsStayAsTheyWereWhenRefused) {
  const char* words[] = {"fairlead", "--manifests=/m", "--xdp=on"};
  Options options;
  EXPECT_FALSE(ReadOptions(3, words, options));
  EXPECT_EQ(options, Options{});
}

// Values for flags whose type a number does not fit.
std::string SampleValue(std::string_view flag) {
  if (flag.find("timeout") != flag.npos || flag.find("period") != flag.npos ||
      flag.find("frequency") != flag.npos) {
    return "7s";
  }
  return "7";
}

TEST(Flags, EveryFlagOfKubeProxyWithoutEffectGivesOneWarningThatNamesIt) {
  int tried = 0;
  for (const config::Field& field : config::KubeProxyFields()) {
    if (field.flag.empty() || !field.help.empty()) continue;
    std::string name = fmt::format("--{}", field.flag);
    auto options =
        Read({field.shape == config::Shape::kSwitch ? name : name + "=" + SampleValue(field.flag)});
    ASSERT_TRUE(options) << options.error().message;
    EXPECT_THAT(options->warnings, ElementsAre(HasSubstr(name + ": has no effect: ")));
    options->warnings.clear();
    EXPECT_EQ(*options, Options{}) << name;
    ++tried;
  }
  EXPECT_GT(tried, 40);
}

TEST(Flags, ThoseOfACommonDaemonSetAreAllKnown) {
  auto options =
      Read({"--kubeconfig=/var/lib/kube-proxy/kubeconfig", "--logtostderr=true", "--alsologtostderr",
            "--log_dir=/var/log", "--oom-score-adj=-998", "--conntrack-max-per-core=131072", "--v=2",
            "--cluster-cidr=100.64.0.0/10", "--hostname-override=n1", "--master=https://127.0.0.1",
            "--kube-api-qps=50", "--log-file=/var/log/kube-proxy.log"});
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->oom_score_adj, -998);
  EXPECT_EQ(options->conntrack.max_per_core, 131072U);
  EXPECT_EQ(options->warnings.size(), 5U);
}

TEST(Flags, HelpShowsWhatHasAnEffectAndNothingElse) {
  const char* words[] = {"fairlead", "--help"};
  Options options;
  auto exit = ReadOptions(2, words, options);
  ASSERT_TRUE(exit && *exit);
  EXPECT_EQ((*exit)->status, 0);
  for (const auto* fields : {&config::KubeProxyFields(), &config::FairleadFields()}) {
    for (const config::Field& field : *fields) {
      if (field.flag.empty() || field.flag == "v") continue;
      std::string name = fmt::format("--{}", field.flag);
      const std::string& text = (*exit)->text;
      bool shown = text.find(name + " ") != text.npos || text.find(name + "\n") != text.npos;
      EXPECT_EQ(shown, !field.help.empty()) << name;
    }
  }
}

TEST(Flags, VersionIsOneLine) {
  const char* words[] = {"fairlead", "--version"};
  Options options;
  auto exit = ReadOptions(2, words, options);
  ASSERT_TRUE(exit && *exit);
  EXPECT_EQ((*exit)->text, "fairlead " FAIRLEAD_VERSION "\n");
}

}  // namespace
}  // namespace fairlead
