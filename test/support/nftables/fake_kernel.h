// SPDX-License-Identifier: Apache-2.0
// nf_tables in memory, as text: chains with their rules, sets with their elements. Understands the commands
// the datapath writes and throws for any other; refuses what a test tells it to.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agent/datapath/nftables/kernel.h"

namespace fairlead::test {

class FakeNftables : public nftables::Kernel {
 public:
  struct Chain {
    std::string hook;  // "type nat hook prerouting priority -100; policy accept;", or empty
    std::vector<std::string> rules;
  };
  using Elements = std::map<std::string, std::string>;  // key -> value, or "" in a set

  Result<void> RemoveTable() override;
  Result<void> Run(std::string_view script) override;
  Result<std::vector<nftables::Refusal>> Commit(std::span<const nftables::Write> writes) override;
  Result<void> Rewrite(std::span<const nftables::MapRule> rules) override;
  Result<nftables::Sight> Look() override;
  Result<void> ForEach(nftables::Set set, Family family,
                       const std::function<void(nftables::Element)>& visit) override;
  Result<std::vector<nftables::Remembered>> Clients(const std::string& map) override;
  Result<uint32_t> Forget(const std::string& map, std::span<const nftables::Bytes> clients) override;
  Result<uint32_t> Generation() override { return generation; }
  bool Touched() override { return std::exchange(touched, false); }
  int event_fd() const override { return -1; }
  uint64_t sent() const override { return 0; }

  // Sets that hold something, a line an element.
  std::string ElementsText() const;

  bool table = false;
  std::map<std::string, Chain> chains;
  std::map<std::string, Elements> sets;
  std::vector<nftables::Write> last_writes;
  std::vector<std::string> scripts;
  size_t commits = 0;
  size_t dumps = 0;                                                  // of sets
  std::map<std::string, std::vector<nftables::Remembered>> clients;  // by map
  uint32_t generation = 1;
  bool touched = false;
  // Faults: an errno for an element that is added, 0 for none; and one for a whole batch or script.
  std::function<int(const nftables::Element&)> refuse;
  std::function<int(std::span<const nftables::Write>)> refuse_batch;
  std::function<int(std::string_view)> refuse_script;
  int refuse_clients = 0;  // to tell them

 private:
  void Obey(const std::string& line);
  void Put(const nftables::Element& element);

  std::map<uint64_t, nftables::Element> elements_;  // by place
};

}  // namespace fairlead::test
