// SPDX-License-Identifier: Apache-2.0
#include "test/support/oracle_judge.h"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fairlead::test {
namespace {

constexpr std::chrono::milliseconds kAtOnce{500};  // a reject comes within: before a SYN is sent again (1 s)

bool Holds(const std::vector<std::string>& list, const std::string& word) {
  return std::ranges::find(list, word) != list.end();
}

// A process of n1 itself.
bool OfHost(const OracleFlow& flow) {
  return flow.from == OracleFlow::From::kNode || flow.from == OracleFlow::From::kLocalhost;
}

// Translated at its socket, a client is seen with an address of its own, whatever the case says of
// masquerading.
Failure JudgeSourceAtSocket(Lab& lab, const OracleFlow& flow, const Outcome& got) {
  const bool own = OfHost(flow) ? got.source.address.IsLoopback() || lab.IsOfN1(got.source.address)
                                : got.source.address.ToString() == flow.from_ip;
  if (own) return std::nullopt;
  return "expected the client's own source, " + got.ToString();
}

// A backend in the node's own network gets its packets by local delivery: nothing to masquerade for. The
// node's own packets to it do pass where masquerading is done, and may have either source.
Failure JudgeSourceOfPackets(Lab& lab, const OracleFlow& flow, const Outcome& got) {
  const bool moot = lab.IsOfN1(Target::Parse(got.backend).address);
  if (moot && OfHost(flow)) return JudgeSourceAtSocket(lab, flow, got);
  const bool masqueraded = !moot && (flow.masquerade || Holds(flow.masquerade_backends, got.backend));
  if (masqueraded && !lab.IsOfN1(got.source.address))
    return "expected an address of n1 as the source, " + got.ToString();
  if (!masqueraded && got.source.address.ToString() != flow.from_ip)
    return "expected the client's own source, " + got.ToString();
  return std::nullopt;
}

// Untranslated, the packet went where it was going: seen by the client's own devices if n1 or a socket there
// sent it, and on by n1 if it came by one.
Failure JudgePassed(Lab& lab, Mode mode, const OracleFlow& flow, const OracleSeen& seen) {
  const Outcome& got = seen.outcome;
  const Target to = Target::Parse(flow.to);
  if (got.end == End::kReached && got.backend != flow.to)
    return "expected no translation, got " + got.ToString();
  if (AtSocket(flow, mode) || OfHost(flow)) {
    if (seen.packets == 0) return "expected a packet to leave as it was, got " + got.ToString();
    return std::nullopt;
  }
  if (lab.IsOfN1(to.address)) {
    if (got.end != End::kReached) return "expected the server on the node itself, got " + got.ToString();
    return std::nullopt;
  }
  if (seen.forwarded == 0) return "expected n1 to send the packet on as it came, got " + got.ToString();
  return std::nullopt;
}

Failure JudgeRejected(Mode mode, const OracleFlow& flow, const OracleSeen& seen) {
  const Outcome& got = seen.outcome;
  // SCTP does not listen to the port unreachable that answers it (net/sctp/input.c): to it a reject is
  // silence.
  const bool unheard = flow.protocol == "SCTP" && got.end == End::kSilent;
  if (!unheard && (got.end != End::kRefused || got.took > kAtOnce))
    return "expected a reject at once, got " + got.ToString();
  if (AtSocket(flow, mode) && seen.packets > 0)
    return std::string("expected a reject at the socket, but a packet left");
  if (seen.forwarded > 0) return std::string("expected a reject, but n1 sent the packet on");
  return std::nullopt;
}

// A socket of n1 learns that a rule dropped what it sent: EPERM.
Failure JudgeDropped(Mode mode, const OracleFlow& flow, const OracleSeen& seen) {
  const Outcome& got = seen.outcome;
  const bool at_socket = AtSocket(flow, mode);
  const bool told = at_socket ? got.end == End::kUnreachable : OfHost(flow) && got.error == EPERM;
  if (got.end != End::kSilent && !told) return "expected a drop, got " + got.ToString();
  if (at_socket && seen.packets > 0) return std::string("expected a drop at the socket, but a packet left");
  if (seen.forwarded > 0) return std::string("expected a drop, but n1 sent the packet on");
  return std::nullopt;
}

}  // namespace

bool FromElsewhere(const OracleFlow& flow) {
  return flow.from == OracleFlow::From::kElsewhere;
}

bool AtSocket(const OracleFlow& flow, Mode mode) {
  return mode == Mode::kEbpf && !FromElsewhere(flow) && flow.protocol != "SCTP";
}

Failure JudgeReached(Lab& lab, Mode mode, const OracleFlow& flow, const OracleSeen& seen) {
  const Outcome& got = seen.outcome;
  if (got.end != End::kReached)
    return fmt::format("expected one of [{}], got {}", fmt::join(flow.backends, " "), got.ToString());
  if (!Holds(flow.backends, got.backend))
    return fmt::format("expected one of [{}], {}", fmt::join(flow.backends, " "), got.ToString());
  if (got.peer.ToString() != flow.to)
    return fmt::format("expected the peer to be {}, {}", flow.to, got.ToString());
  if (!flow.must_stay_on.empty() && !Holds(flow.must_stay_on, got.backend))
    return fmt::format("expected to stay on [{}], {}", fmt::join(flow.must_stay_on, " "), got.ToString());
  return AtSocket(flow, mode) ? JudgeSourceAtSocket(lab, flow, got) : JudgeSourceOfPackets(lab, flow, got);
}

Failure JudgeUnreached(Lab& lab, Mode mode, const OracleFlow& flow, const OracleSeen& seen) {
  switch (flow.expect) {
    case OracleFlow::Expect::kReject:
      return JudgeRejected(mode, flow, seen);
    case OracleFlow::Expect::kDrop:
      return JudgeDropped(mode, flow, seen);
    default:
      return JudgePassed(lab, mode, flow, seen);
  }
}

}  // namespace fairlead::test
