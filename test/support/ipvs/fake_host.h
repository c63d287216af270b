// SPDX-License-Identifier: Apache-2.0
// A host without a kernel: the virtual servers, the device and the sets and chains that ipvs mode writes, in
// memory, with faults on demand. What it refuses, and with which errno, is as the kernel does it.
#pragma once

#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "agent/datapath/ipvs/device.h"
#include "agent/datapath/ipvs/kernel.h"
#include "agent/datapath/ipvs/tools.h"

namespace fairlead::test {

class FakeKernel final : public ipvs::Kernel {
 public:
  Result<ipvs::PresentServers> List() override;
  Result<std::map<ipvs::BackendKey, ipvs::Connections>> ConnectionsOf(const ipvs::ServerKey& server) override;
  Result<std::vector<int>> Do(std::span<const ipvs::Step> steps) override;
  Result<void> TryScheduler(const std::string& scheduler) override;

  // "172.30.0.10:80/TCP rr: 10.180.0.11:8080=1 10.180.1.11:8080=0", a line each.
  std::string Text() const;

  ipvs::PresentServers servers;
  std::map<ipvs::ServerKey, std::map<ipvs::BackendKey, ipvs::Connections>> connections;
  std::set<std::string> missing_schedulers;
  std::set<ipvs::ServerKey> refused;  // any step of these: ENOMEM
  std::vector<std::string> log;       // steps that were done

 private:
  int DoOne(const ipvs::Step& step);
};

class FakeDevice final : public ipvs::Device {
 public:
  Result<void> Ensure() override;
  Result<Addresses> List() override { return addresses; }
  Result<void> Add(const Address& address) override;
  Result<void> Remove(const Address& address) override;

  std::string Text() const;  // addresses with spaces between

  bool there = false;
  Addresses addresses;
  std::set<Address> refused;  // Add of these: EACCES
  std::vector<std::string> log;
};

// ipset and iptables as programs: what they are told, and what they would print.
class FakeTools {
 public:
  ipvs::RunTool Run();

  // Elements with their sets, a line each: "FAIRLEAD-FRONTENDS 172.30.0.10,tcp:80".
  std::string Sets() const;
  // The rules of a table in iptables-save's form; `family`: 4 or 6.
  std::string Rules(const std::string& table, int family = 4) const;

  std::map<std::string, std::set<std::string>> sets;
  std::set<std::string> missing;  // programs that are not there
  std::string refused_element;    // `ipset restore` fails at it
  bool refuses_all = false;       // likewise, at every element
  std::vector<std::string> log;   // argv of what was run, but for what only reads
  // Per program and table: chains with their rules.
  std::map<std::string, std::map<std::string, std::vector<std::string>>> chains;

 private:
  Result<std::string> RunOne(const ExecOptions& options);
  Result<std::string> RunIpset(const ExecOptions& options);
  void RestoreRules(const std::string& program, std::string_view text);
  std::string SaveRules(const std::string& program, const std::string& table) const;
};

}  // namespace fairlead::test
