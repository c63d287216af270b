// SPDX-License-Identifier: Apache-2.0
// Whether iptables mode can work here.
#include <fmt/format.h>

#include "agent/datapath/iptables/backend.h"
#include "agent/datapath/iptables/iptables.h"
#include "agent/datapath/iptables/restore.h"
#include "agent/datapath/iptables/ruleset.h"

namespace fairlead::iptables {

namespace {

// Rules of every kind.
std::string SampleRules() {
  Ruleset rules(Family::kIpv4, {});
  plan::NodePlan node;
  node.loopback_nodeports_v4 = true;
  rules.SetNode(node);
  auto service = std::make_shared<plan::ServicePort>();
  service->key = {{"probe", "sample"}, "p", plan::Protocol::kTcp, Family::kIpv4};
  service->frontends = {
      {plan::FrontendKind::kClusterIp, *Address::Parse("192.0.2.1"), 80, plan::Masquerade::kOutside}};
  service->cluster = {{*Address::Parse("192.0.2.2"), 80}, {*Address::Parse("192.0.2.3"), 80}};
  service->has_any = true;
  service->affinity_timeout_s = 10;
  rules.Set(service->key, service);
  auto refused = std::make_shared<plan::ServicePort>(*service);
  refused->key.port += "-refused";
  refused->frontends[0].port = 81;
  refused->cluster.clear();
  refused->has_any = false;
  rules.Set(refused->key, refused);
  return RenderRestore({.chains = rules.TakeChanged(), .missing = rules.jumps(), .surplus = {}}, rules).text;
}

}  // namespace

Result<std::string> Probe() {
  auto backend = ChooseBackend(Execute);
  if (!backend) return std::unexpected(std::move(backend.error()));
  const std::string program = backend->Program(Family::kIpv4, "restore");
  const std::string sample = SampleRules();
  // In a network namespace of their own the kernel really takes the rules; where none can be made, what the
  // program says of them has to do.
  auto tried = Execute({.argv = {"unshare", "--net", program, "--noflush"}, .input = sample});
  const bool checked = tried && (tried->status == 0 || !tried->errors.starts_with("unshare:"));
  if (!checked) tried = Execute({.argv = {program, "--noflush", "--test"}, .input = sample});
  if (!tried) return std::unexpected(std::move(tried.error()));
  if (tried->status != 0) {
    return Fail(ErrorKind::kUnsupported, "{}: {}", program,
                tried->errors.substr(0, tried->errors.find('\n')));
  }
  return fmt::format("{} {} ({}, {}){}", program, backend->version, backend->Name(), backend->why,
                     checked ? "" : "; rules not tried in the kernel");
}

}  // namespace fairlead::iptables
