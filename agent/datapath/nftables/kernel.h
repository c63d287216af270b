// SPDX-License-Identifier: Apache-2.0
// nf_tables as this datapath uses it, behind an interface so that a test can stand in for it.
//
// Two ways in. Sets, chains and most rules are commands for a child `nft -f -`: they are written seldom and
// read by people, and a library that dies of a table it cannot read (libnftables does, of newer programs'
// tables) must not take the agent along. Elements, and the rules nft does not take (map_rule.h), are
// nfnetlink batches of our own: no process, no reading of all tables beforehand as libnftables does, so a
// change costs what it changes. Each is a transaction.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/datapath/nftables/element.h"
#include "agent/datapath/nftables/map_rule.h"

namespace fairlead::nftables {

// An element to add or to delete. `group`: what it belongs to in the caller's eyes.
struct Write {
  bool add = true;
  size_t group = 0;
  Element element;
};

// The kernel refused what a group wanted.
struct Refusal {
  size_t group = 0;
  Error error;
};

// What stands, beside elements.
struct Sight {
  bool table = false;
  std::set<std::string, std::less<>> chains;
  std::set<std::string, std::less<>> maps;  // and sets
  uint64_t rules = 0;                       // how many
  // Of every rule and every node's set, as the kernel gives them: equal as long as nobody writes any.
  uint64_t digest = 0;
};

// A client and the backend it is remembered to have.
struct Remembered {
  Bytes client, backend;
};

class Kernel {
 public:
  virtual ~Kernel() = default;

  // The table goes, whether nft can read it or not.
  virtual Result<void> RemoveTable() = 0;
  // Commands for nft, as one transaction.
  virtual Result<void> Run(std::string_view script) = 0;
  // One transaction: nothing is written if anything is refused. Deletions should come first. Refusals of
  // groups are such as the kernel names; an error that it does not put down to an element is the result's.
  virtual Result<std::vector<Refusal>> Commit(std::span<const Write> writes) = 0;

  // One transaction: the chains, which exist, have just these rules.
  virtual Result<void> Rewrite(std::span<const MapRule> rules) = 0;

  virtual Result<Sight> Look() = 0;
  virtual Result<void> ForEach(Set set, Family family, const std::function<void(Element)>& visit) = 0;
  // Of a map of session affinity.
  virtual Result<std::vector<Remembered>> Clients(const std::string& map) = 0;
  // Some may be gone by themselves. How many transactions that took.
  virtual Result<uint32_t> Forget(const std::string& map, std::span<const Bytes> clients) = 0;

  // Counts the transactions of everybody in this network namespace.
  virtual Result<uint32_t> Generation() = 0;
  // Whether somebody else has written to our table since the last call, or may have: words were lost.
  virtual bool Touched() = 0;
  // Readable when Touched may say something new; -1: never.
  virtual int event_fd() const = 0;
  // Bytes sent.
  virtual uint64_t sent() const = 0;
};

Result<std::unique_ptr<Kernel>> OpenKernel();

}  // namespace fairlead::nftables
