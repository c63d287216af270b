// SPDX-License-Identifier: Apache-2.0
#include "test/support/ipvs/fake_host.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fairlead::test {

using ipvs::Verb;

Result<ipvs::PresentServers> FakeKernel::List() {
  return servers;
}

Result<std::map<ipvs::BackendKey, ipvs::Connections>> FakeKernel::ConnectionsOf(
    const ipvs::ServerKey& server) {
  const auto it = servers.find(server);
  if (it == servers.end()) return Fail(ErrorKind::kNotFound, "no such server");
  std::map<ipvs::BackendKey, ipvs::Connections> of;
  for (const auto& [backend, weight] : it->second.backends) of[backend] = connections[server][backend];
  return of;
}

int FakeKernel::DoOne(const ipvs::Step& step) {
  if (refused.contains(step.server)) return ENOMEM;
  const auto server = servers.find(step.server);
  const bool there = server != servers.end();
  if (step.verb == Verb::kAddServer && there) return EEXIST;
  if (step.verb != Verb::kAddServer && !there) return ESRCH;
  if (step.verb <= Verb::kSetServer && missing_schedulers.contains(step.options.scheduler)) return ENOENT;
  const bool has = there && server->second.backends.contains(step.backend);
  if (step.verb == Verb::kAddBackend && has) return EEXIST;
  if ((step.verb == Verb::kSetBackend || step.verb == Verb::kRemoveBackend) && !has) return ENOENT;
  ipvs::Replay(step, servers);
  log.push_back(step.ToString());
  return 0;
}

Result<std::vector<int>> FakeKernel::Do(std::span<const ipvs::Step> steps) {
  std::vector<int> codes;
  for (const ipvs::Step& step : steps) codes.push_back(DoOne(step));
  return codes;
}

Result<void> FakeKernel::TryScheduler(const std::string& scheduler) {
  if (!missing_schedulers.contains(scheduler)) return {};
  return Fail(ErrorKind::kUnsupported, "IPVS: scheduler {}: this kernel has no module ip_vs_{}", scheduler,
              scheduler);
}

std::string FakeKernel::Text() const {
  std::vector<std::string> lines;
  for (const auto& [key, server] : servers) {
    std::string line = fmt::format("{} {}:", key.ToString(), server.options.scheduler);
    for (const auto& [backend, weight] : server.backends)
      line += fmt::format(" {}={}", backend.ToString(), weight);
    lines.push_back(std::move(line));
  }
  return fmt::format("{}", fmt::join(lines, "\n"));
}

Result<void> FakeDevice::Ensure() {
  if (!there) log.push_back("make");
  there = true;
  return {};
}

Result<void> FakeDevice::Add(const Address& address) {
  if (!there) return FailErrno(ENODEV, "device");
  if (refused.contains(address)) return FailErrno(EACCES, "device: add {}", address.ToString());
  log.push_back("add " + address.ToString());
  addresses.ours.insert(address);
  return {};
}

Result<void> FakeDevice::Remove(const Address& address) {
  log.push_back("remove " + address.ToString());
  addresses.ours.erase(address);
  return {};
}

std::string FakeDevice::Text() const {
  std::vector<std::string> words;
  for (const Address& address : addresses.ours) words.push_back(address.ToString());
  return fmt::format("{}", fmt::join(words, " "));
}

ipvs::RunTool FakeTools::Run() {
  return [this](const ExecOptions& options) { return RunOne(options); };
}

Result<std::string> FakeTools::RunOne(const ExecOptions& options) {
  const std::string& program = options.argv[0];
  if (missing.contains(program)) return Fail(ErrorKind::kNotFound, "{}: no such program", program);
  const bool reads = program.ends_with("-save") || options.argv[1] == "save";
  if (!reads) log.push_back(fmt::format("{}", fmt::join(options.argv, " ")));
  if (program == "ipset") return RunIpset(options);
  const std::string prefix = program.substr(0, program.rfind('-'));
  if (program.ends_with("-restore")) {
    RestoreRules(prefix, options.input);
    return "";
  }
  std::string all;
  for (std::string_view table : ipvs::kRuleTables) all += SaveRules(prefix, std::string(table));
  return all;
}

Result<std::string> FakeTools::RunIpset(const ExecOptions& options) {
  if (options.argv[1] == "save") {
    std::string text;
    for (const auto& [name, elements] : sets) {
      text += fmt::format("create {} hash:ip\n", name);
      for (const std::string& element : elements) text += fmt::format("add {} {}\n", name, element);
    }
    return text;
  }
  if (options.argv[1] == "destroy") return sets.erase(options.argv[2]), "";
  std::istringstream lines{std::string(options.input)};
  for (std::string verb, name, element, line; std::getline(lines, line);) {
    std::istringstream(line) >> verb >> name >> element;
    if (verb == "create") {
      sets[name];
    } else if (!sets.contains(name) || refuses_all ||
               (!refused_element.empty() && element == refused_element)) {
      return Fail(ErrorKind::kInvalid, "ipset: {}: refused", line);
    } else if (verb == "add") {
      sets[name].insert(element);
    } else {
      sets[name].erase(element);
    }
  }
  return "";
}

void FakeTools::RestoreRules(const std::string& program, std::string_view text) {
  std::istringstream lines{std::string(text)};
  std::string key;
  for (std::string line; std::getline(lines, line);) {
    if (line == "COMMIT") continue;
    const std::string rest = line.substr(line.find(' ') + 1);
    const std::string chain = rest.substr(0, rest.find(' '));
    if (line.front() == '*') {
      key = program + " " + line.substr(1);
    } else if (line.front() == ':') {
      chains[key][line.substr(1, line.find(' ') - 1)].clear();
    } else if (line.starts_with("-A ")) {
      chains[key][chain].push_back(rest.substr(chain.size() + 1));
    } else if (line.starts_with("-I ")) {
      auto& rules = chains[key][chain];
      rules.insert(rules.begin(), rest.substr(chain.size() + 1));
    } else if (line.starts_with("-D ")) {
      auto& rules = chains[key][chain];
      const auto it = std::ranges::find(rules, rest.substr(chain.size() + 1));
      if (it == rules.end()) throw std::runtime_error("no such rule: " + line);
      rules.erase(it);
    } else if (line.starts_with("-X ")) {
      chains[key].erase(chain);
    } else {
      throw std::runtime_error("not known: " + line);
    }
  }
}

std::string FakeTools::SaveRules(const std::string& program, const std::string& table) const {
  const auto it = chains.find(program + " " + table);
  std::string text = fmt::format("*{}\n", table);
  if (it == chains.end()) return text + "COMMIT\n";
  for (const auto& [chain, rules] : it->second) text += fmt::format(":{} - [7:420]\n", chain);
  for (const auto& [chain, rules] : it->second) {
    for (const std::string& rule : rules) text += fmt::format("-A {} {}\n", chain, rule);
  }
  return text + "COMMIT\n";
}

std::string FakeTools::Sets() const {
  std::string text;
  for (const auto& [name, elements] : sets) {
    for (const std::string& element : elements) text += fmt::format("{} {}\n", name, element);
  }
  return text;
}

std::string FakeTools::Rules(const std::string& table, int family) const {
  return SaveRules(family == 4 ? "iptables" : "ip6tables", table);
}

}  // namespace fairlead::test
