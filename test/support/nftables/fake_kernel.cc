// SPDX-License-Identifier: Apache-2.0
#include "test/support/nftables/fake_kernel.h"

#include <algorithm>
#include <cerrno>
#include <sstream>
#include <stdexcept>

namespace fairlead::test {

namespace {

using nftables::Element;

Error ErrorOf(int code) {
  return FailErrno(code, "a fault").error();
}

// "key comment "..." : value" without the comment, in two.
std::pair<std::string, std::string> Split(std::string text) {
  if (const size_t comment = text.find(" comment \""); comment != std::string::npos) {
    const size_t end = text.find('"', comment + 10);
    text.erase(comment, end + 1 - comment);
  }
  const size_t colon = text.find(" : ");
  if (colon == std::string::npos) return {text, ""};
  return {text.substr(0, colon), text.substr(colon + 3)};
}

std::string Braced(const std::string& rest) {
  const size_t begin = rest.find("{ ");
  const size_t end = rest.rfind(" }");
  if (begin == std::string::npos || end == std::string::npos) return {};
  return rest.substr(begin + 2, end - begin - 2);
}

}  // namespace

void FakeNftables::Obey(const std::string& line) {
  std::istringstream words(line);
  std::string verb, what, family, name_of_table, name, rest;
  words >> verb >> what >> family >> name_of_table >> name;
  std::getline(words >> std::ws, rest);
  if (family != "inet" || name_of_table != "fairlead") throw std::runtime_error("not our table: " + line);
  const std::string command = verb + " " + what;
  if (command == "add table") {
    table = true;
  } else if (command == "delete table") {
    table = false;
    chains.clear();
    sets.clear();
    elements_.clear();
  } else if (command == "add set" || command == "add map") {
    sets.try_emplace(name);
  } else if (command == "flush set") {
    sets.at(name).clear();
  } else if (command == "delete set" || command == "delete map") {
    if (sets.erase(name) == 0) throw std::out_of_range(name);
  } else if (command == "add chain") {
    Chain& chain = chains[name];
    if (!rest.empty()) chain.hook = Braced(rest);
  } else if (command == "flush chain") {
    chains.at(name).rules.clear();
  } else if (command == "delete chain") {
    if (chains.erase(name) == 0) throw std::out_of_range(name);
  } else if (command == "add rule") {
    chains.at(name).rules.push_back(rest);
  } else if (command == "add element") {
    std::istringstream listed(Braced(rest));
    for (std::string element; std::getline(listed >> std::ws, element, ',');)
      sets.at(name).insert(Split(element));
  } else {
    throw std::runtime_error("a command that is not known: " + line);
  }
}

Result<void> FakeNftables::RemoveTable() {
  Obey("delete table inet fairlead");
  ++generation;
  return {};
}

Result<void> FakeNftables::Run(std::string_view script) {
  if (const int code = refuse_script ? refuse_script(script) : 0; code != 0)
    return std::unexpected(ErrorOf(code));
  scripts.emplace_back(script);
  std::istringstream lines{std::string(script)};
  try {
    for (std::string line; std::getline(lines, line);) Obey(line);
  } catch (const std::out_of_range&) {  // of a chain or a set that is not there
    return std::unexpected(ErrorOf(ENOENT));
  }
  ++generation;
  return {};
}

void FakeNftables::Put(const Element& element) {
  sets.at(nftables::SetName(element.set, element.family))
      .insert_or_assign(Split(ToText(element)).first, Split(ToText(element)).second);
  elements_.insert_or_assign(DigestOf(element).place, element);
}

Result<std::vector<nftables::Refusal>> FakeNftables::Commit(std::span<const nftables::Write> writes) {
  if (const int code = refuse_batch ? refuse_batch(writes) : 0; code != 0)
    return std::unexpected(ErrorOf(code));
  std::vector<nftables::Refusal> refusals;
  auto standing = elements_;
  for (const nftables::Write& write : writes) {
    const Element& element = write.element;
    const uint64_t place = DigestOf(element).place;
    int code = 0;
    if (!sets.contains(nftables::SetName(element.set, element.family))) {
      code = ENOENT;
    } else if (!write.add) {
      code = standing.erase(place) == 0 ? ENOENT : 0;
    } else {
      auto [at, fresh] = standing.try_emplace(place, element);
      const bool same = at->second.value == element.value && at->second.chain == element.chain;
      if (!fresh && !same) code = EEXIST;
      if (!element.chain.empty() && !chains.contains(element.chain)) code = ENOENT;
      if (refuse && code == 0) code = refuse(element);
    }
    if (code != 0) refusals.push_back({write.group, ErrorOf(code)});
  }
  if (!refusals.empty()) return refusals;
  for (const nftables::Write& write : writes) {
    const Element& element = write.element;
    if (write.add) {
      Put(element);
      continue;
    }
    elements_.erase(DigestOf(element).place);
    sets.at(nftables::SetName(element.set, element.family)).erase(Split(ToText(element)).first);
  }
  last_writes.assign(writes.begin(), writes.end());
  ++commits;
  ++generation;
  return refusals;
}

Result<void> FakeNftables::Rewrite(std::span<const nftables::MapRule> rules) {
  for (const nftables::MapRule& rule : rules) chains.at(rule.chain).rules.clear();
  for (const nftables::MapRule& rule : rules) chains.at(rule.chain).rules.push_back(rule.ToText());
  ++generation;
  return {};
}

Result<nftables::Sight> FakeNftables::Look() {
  nftables::Sight sight;
  sight.table = table;
  for (const auto& [name, chain] : chains) {
    sight.chains.insert(name);
    for (const std::string& rule : chain.rules) {
      sight.digest += std::hash<std::string>{}(name + " " + rule);
      ++sight.rules;
    }
  }
  for (const auto& [name, elements] : sets) sight.maps.insert(name);
  return sight;
}

Result<void> FakeNftables::ForEach(nftables::Set set, Family family,
                                   const std::function<void(Element)>& visit) {
  ++dumps;
  for (const auto& [place, element] : elements_) {
    if (element.set == set && element.family == family) visit(element);
  }
  return {};
}

Result<std::vector<nftables::Remembered>> FakeNftables::Clients(const std::string& map) {
  if (refuse_clients != 0) return std::unexpected(ErrorOf(refuse_clients));
  return clients[map];
}

Result<uint32_t> FakeNftables::Forget(const std::string& map, std::span<const nftables::Bytes> stale) {
  if (stale.empty()) return 0;
  std::erase_if(clients[map], [&](const nftables::Remembered& remembered) {
    return std::ranges::find(stale, remembered.client) != stale.end();
  });
  ++generation;
  return 1;
}

std::string FakeNftables::ElementsText() const {
  std::string text;
  for (const auto& [name, elements] : sets) {
    for (const auto& [key, value] : elements)
      text += name + ": " + key + (value.empty() ? "" : " : " + value) + "\n";
  }
  return text;
}

}  // namespace fairlead::test
