// SPDX-License-Identifier: Apache-2.0
// What is said to the kernel, byte by byte, and what its answers are taken for. The kernel is the other end
// of a socket pair, whose answers wait there before the question.
#include "agent/datapath/ipvs/kernel.h"

#include <gtest/gtest.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <fmt/format.h>

#include "test/support/objects.h"

namespace fairlead::ipvs {
namespace {

using test::Addr;

constexpr uint16_t kFamily = 0x21;

const ServerKey kWeb{Addr("172.30.0.10"), 80, plan::Protocol::kTcp};
const ServerKey kDns6{Addr("fd00:172:30::10"), 53, plan::Protocol::kUdp};

// A message as the kernel writes it.
class Answer {
 public:
  Answer(uint16_t type, uint16_t flags, uint32_t sequence) { Append(nlmsghdr{0, type, flags, sequence, 0}); }
  template <typename Value>
  Answer& Append(const Value& value) {
    const auto* from = reinterpret_cast<const char*>(&value);
    bytes_.append(from, sizeof(value)).resize(NLMSG_ALIGN(bytes_.size()));
    return *this;
  }
  template <typename Value>
  Answer& Add(uint16_t type, const Value& value) {
    return Append(nlattr{static_cast<uint16_t>(NLA_HDRLEN + sizeof(value)), type}).Append(value);
  }
  Answer& AddAddress(uint16_t type, const Address& address) {
    std::array<uint8_t, 16> bytes{};
    if (address.GetFamily() == Family::kIpv4) {
      std::memcpy(bytes.data(), address.raw.bytes + 12, 4);
    } else {
      std::memcpy(bytes.data(), address.raw.bytes, 16);
    }
    return Add(type, bytes);
  }
  template <typename Fill>
  Answer& Nest(uint16_t type, Fill fill) {
    const size_t at = bytes_.size();
    Append(nlattr{0, static_cast<uint16_t>(type | NLA_F_NESTED)});
    fill(*this);
    const auto size = static_cast<uint16_t>(bytes_.size() - at);
    std::memcpy(bytes_.data() + at, &size, sizeof(size));
    return *this;
  }
  std::string Bytes() {
    const auto size = static_cast<uint32_t>(bytes_.size());
    std::memcpy(bytes_.data(), &size, sizeof(size));
    return bytes_;
  }

 private:
  std::string bytes_;
};

class KernelTest : public testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
    peer_ = Fd(ends[0]);
    kernel_.emplace(Netlink::Over(Fd(ends[1])), kFamily);
  }

  void WillAnswer(Answer answer) {
    const std::string bytes = answer.Bytes();
    ASSERT_EQ(::send(peer_.Get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  }
  void WillAcknowledge(uint32_t sequence, int error) {
    Answer answer(NLMSG_ERROR, 0, sequence);
    WillAnswer(answer.Append(nlmsgerr{-error, {}}));
  }
  void WillEnd(uint32_t sequence) { WillAnswer(Answer(NLMSG_DONE, NLM_F_MULTI, sequence).Append(int{0})); }

  // What was asked, in hex: the command, then each attribute with its type; a nested one in brackets.
  std::string Asked() {
    std::vector<std::byte> bytes(65536);
    const ssize_t got = ::recv(peer_.Get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got < static_cast<ssize_t>(NLMSG_HDRLEN + GENL_HDRLEN)) return "nothing";
    nlmsghdr header;
    genlmsghdr family;
    std::memcpy(&header, bytes.data(), sizeof(header));
    std::memcpy(&family, bytes.data() + NLMSG_HDRLEN, sizeof(family));
    EXPECT_EQ(header.nlmsg_type, kFamily);
    const auto body =
        std::span(bytes).subspan(NLMSG_HDRLEN + GENL_HDRLEN, header.nlmsg_len - NLMSG_HDRLEN - GENL_HDRLEN);
    return fmt::format("{}{}", family.cmd, Text(body, true));
  }

  std::optional<NetlinkKernel> kernel_;

 private:
  static std::string Text(std::span<const std::byte> bytes, bool nested) {
    std::string text;
    for (const NetlinkAttribute& attribute : NetlinkAttributes(bytes)) {
      text += fmt::format(" {}:", attribute.type);
      if (nested) {
        text += fmt::format("[{} ]", Text(attribute.value, false));
        continue;
      }
      for (const std::byte byte : attribute.value) text += fmt::format("{:02x}", static_cast<int>(byte));
    }
    return text;
  }

  Fd peer_;
};

TEST_F(KernelTest, AServerIsAddedWithItsSchedulerItsAffinityAndAWholeMask) {
  WillAcknowledge(1, 0);
  const Step step{Verb::kAddServer, kWeb, {"rr", IP_VS_SVC_F_PERSISTENT, 10800}, {}, 0};
  EXPECT_EQ(*kernel_->Do(std::span(&step, 1)), std::vector{0});
  EXPECT_EQ(Asked(),
            "1 1:[ 1:0200 2:0600 3:ac1e000a000000000000000000000000 4:0050 6:727200 7:01000000ffffffff "
            "8:302a0000 9:ffffffff ]");
}

TEST_F(KernelTest, AnIpv6ServerHasAPrefixLengthForAMask) {
  WillAcknowledge(1, 0);
  const Step step{Verb::kSetServer, kDns6, {"mh", SchedulerFlags("mh"), 0}, {}, 0};
  EXPECT_EQ(*kernel_->Do(std::span(&step, 1)), std::vector{0});
  EXPECT_EQ(Asked(),
            "2 1:[ 1:0a00 2:1100 3:fd000172003000000000000000000010 4:0035 6:6d6800 7:18000000ffffffff "
            "8:00000000 9:80000000 ]");
}

TEST_F(KernelTest, ABackendIsAddedForNatWithItsWeight) {
  WillAcknowledge(1, 0);
  const Step step{Verb::kAddBackend, kWeb, {}, {Addr("10.180.1.11"), 8080}, 3};
  EXPECT_EQ(*kernel_->Do(std::span(&step, 1)), std::vector{0});
  EXPECT_EQ(Asked(),
            "5 1:[ 1:0200 2:0600 3:ac1e000a000000000000000000000000 4:0050 ] "
            "2:[ 1:0ab4010b000000000000000000000000 2:1f90 11:0200 3:00000000 4:03000000 5:00000000 "
            "6:00000000 ]");
}

TEST_F(KernelTest, ABackendIsRemovedByItsAddress) {
  WillAcknowledge(1, 0);
  const Step step{Verb::kRemoveBackend, kWeb, {}, {Addr("10.180.1.11"), 8080}, 0};
  EXPECT_EQ(*kernel_->Do(std::span(&step, 1)), std::vector{0});
  EXPECT_EQ(Asked(),
            "7 1:[ 1:0200 2:0600 3:ac1e000a000000000000000000000000 4:0050 ] "
            "2:[ 1:0ab4010b000000000000000000000000 2:1f90 11:0200 ]");
}

TEST_F(KernelTest, EveryStepHasItsOwnErrno) {
  const std::vector<Step> steps = {{Verb::kAddServer, kWeb, {"rr", 0, 0}, {}, 0},
                                   {Verb::kAddBackend, kWeb, {}, {Addr("10.180.1.11"), 8080}, 1},
                                   {Verb::kRemoveServer, kDns6, {}, {}, 0}};
  WillAcknowledge(1, 0);
  WillAcknowledge(2, EEXIST);
  WillAcknowledge(3, ESRCH);
  EXPECT_EQ(*kernel_->Do(steps), (std::vector{0, EEXIST, ESRCH}));
}

TEST_F(KernelTest, TheListHasServersByAddressWithTheirBackendsAndNoneByFirewallMark) {
  const auto server = [](uint32_t sequence, const ServerKey& key, ip_vs_flags flags) {
    Answer answer(kFamily, NLM_F_MULTI, sequence);
    answer.Append(genlmsghdr{IPVS_CMD_NEW_SERVICE, 1, 0});
    return answer.Nest(IPVS_CMD_ATTR_SERVICE, [&](Answer& nested) {
      nested.Add(IPVS_SVC_ATTR_AF, uint16_t{AF_INET})
          .Add(IPVS_SVC_ATTR_PROTOCOL, static_cast<uint16_t>(key.protocol))
          .AddAddress(IPVS_SVC_ATTR_ADDR, key.address)
          .Add(IPVS_SVC_ATTR_PORT, htons(key.port))
          .Add(IPVS_SVC_ATTR_SCHED_NAME, std::array{'r', 'r', '\0'})
          .Add(IPVS_SVC_ATTR_FLAGS, flags)
          .Add(IPVS_SVC_ATTR_TIMEOUT, uint32_t{360});
    });
  };
  WillAnswer(server(1, kWeb, {IP_VS_SVC_F_HASHED | IP_VS_SVC_F_PERSISTENT, ~0U}));
  const ServerKey other{Addr("172.30.0.11"), 80, plan::Protocol::kTcp};
  WillAnswer(server(1, other, {IP_VS_SVC_F_HASHED, ~0U}));
  WillAnswer(Answer(kFamily, NLM_F_MULTI, 1)
                 .Append(genlmsghdr{IPVS_CMD_NEW_SERVICE, 1, 0})
                 .Nest(IPVS_CMD_ATTR_SERVICE, [](Answer& nested) {
                   nested.Add(IPVS_SVC_ATTR_AF, uint16_t{AF_INET}).Add(IPVS_SVC_ATTR_FWMARK, uint32_t{7});
                 }));
  WillEnd(1);
  WillAnswer(Answer(kFamily, NLM_F_MULTI, 2)
                 .Append(genlmsghdr{IPVS_CMD_NEW_DEST, 1, 0})
                 .Nest(IPVS_CMD_ATTR_DEST, [](Answer& nested) {
                   nested.AddAddress(IPVS_DEST_ATTR_ADDR, Addr("10.180.1.11"))
                       .Add(IPVS_DEST_ATTR_PORT, htons(8080))
                       .Add(IPVS_DEST_ATTR_WEIGHT, uint32_t{5});
                 }));
  WillEnd(2);
  WillAcknowledge(3, ESRCH);  // gone meanwhile
  auto listed = kernel_->List();
  ASSERT_TRUE(listed) << listed.error().message;
  const PresentServers expected = {
      {kWeb, {{"rr", IP_VS_SVC_F_PERSISTENT, 360}, {{{Addr("10.180.1.11"), 8080}, 5}}}}};
  EXPECT_EQ(*listed, expected);
}

TEST_F(KernelTest, AMissingSchedulerIsNamedWithItsModule) {
  WillAcknowledge(1, ENOENT);
  const auto tried = kernel_->TryScheduler("sed");
  ASSERT_FALSE(tried);
  EXPECT_EQ(tried.error().message, "IPVS: scheduler sed: this kernel has no module ip_vs_sed");
  EXPECT_EQ(tried.error().kind, ErrorKind::kUnsupported);
}

TEST_F(KernelTest, TimeoutsThatAreZeroAreNotSaid) {
  WillAcknowledge(1, 0);
  ASSERT_TRUE(kernel_->SetTimeouts({std::chrono::seconds(900), {}, std::chrono::seconds(300)}));
  EXPECT_EQ(Asked(), "12 4:[ ] 6:[ ]");
  ASSERT_TRUE(kernel_->SetTimeouts({}));
  EXPECT_EQ(Asked(), "nothing");
}

}  // namespace
}  // namespace fairlead::ipvs
