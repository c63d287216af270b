// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/settings.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fairlead::plan {

namespace {

std::string_view Trim(std::string_view text) {
  size_t from = text.find_first_not_of(" \t");
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(" \t") - from + 1);
}

// Null and the entry at fault in `bad` if one is malformed.
std::optional<std::map<Address, uint16_t>> ParseWeights(std::string_view text, std::string_view& bad) {
  std::map<Address, uint16_t> weights;
  while (true) {
    size_t comma = text.find(',');
    std::string_view entry = Trim(text.substr(0, comma));
    bad = entry;
    size_t equals = entry.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    auto address = Address::Parse(Trim(entry.substr(0, equals)));
    std::string_view digits = Trim(entry.substr(equals + 1));
    uint16_t weight = 0;
    auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), weight);
    bool number = ec == std::errc() && end == digits.data() + digits.size();
    if (!address || !number || weight < 1 || weight > kMaxWeight) return std::nullopt;
    if (!weights.emplace(*address, weight).second) return std::nullopt;
    if (comma == std::string_view::npos) return weights;
    text.remove_prefix(comma + 1);
  }
}

class Reader {
 public:
  Reader(const kube::Service& service, const NodeFacts& facts, Findings& findings)
      : service_(service), facts_(facts), findings_(findings) {
    settings_.algorithm = facts.serves_maglev ? facts.default_algorithm : Algorithm::kRandom;
  }

  Settings Read() {
    for (const auto& [key, value] : service_.settings) {
      if (key == "algorithm") {
        ReadAlgorithm(value);
      } else if (key == "weights") {
        ReadWeights(value);
      } else if (key == "forwarding") {
        ReadForwarding(value);
      } else if (key == "ipvs-scheduler") {
        ReadScheduler(value);
      } else {
        Report(key, "expected one of algorithm, weights, forwarding, ipvs-scheduler; it has no effect");
      }
    }
    return std::move(settings_);
  }

 private:
  void Report(std::string_view key, std::string_view what) {
    findings_.push_back(
        {fmt::format("annotation {}", key),
         fmt::format("Service {}: annotation fairlead.io/{}: {}", service_.name.ToString(), key, what)});
  }

  void ReadAlgorithm(std::string_view value) {
    if (value == "maglev" && !facts_.serves_maglev) {
      Report("algorithm",
             "maglev is served only in ebpf mode (ipvs: fairlead.io/ipvs-scheduler: mh); random "
             "is used");
      settings_.algorithm = Algorithm::kRandom;
    } else if (value == "maglev") {
      settings_.algorithm = Algorithm::kMaglev;
    } else if (value == "random") {
      settings_.algorithm = Algorithm::kRandom;
    } else {
      Report("algorithm", fmt::format("expected random or maglev, got \"{}\"; {} is used",
                                      value.substr(0, 64), AlgorithmName(settings_.algorithm)));
    }
  }

  void ReadWeights(std::string_view value) {
    std::string_view bad;
    if (auto weights = ParseWeights(value, bad)) {
      settings_.weights = std::move(*weights);
      return;
    }
    Report("weights", fmt::format("expected address=weight entries with each address once and weights 1-{}, "
                                  "separated by commas, got \"{}\"; every weight is 1",
                                  kMaxWeight, bad.substr(0, 64)));
  }

  void ReadForwarding(std::string_view value) {
    if (value == "dsr" && !facts_.serves_dsr) {
      Report("forwarding", "dsr is served only in ebpf mode; nat is used");
    } else if (value == "dsr") {
      settings_.forwarding = Forwarding::kDsr;
    } else if (value != "nat") {
      Report("forwarding", fmt::format("expected nat or dsr, got \"{}\"; nat is used", value.substr(0, 64)));
    }
  }

  void ReadScheduler(std::string_view value) {
    if (std::ranges::find(kIpvsSchedulers, value) != std::end(kIpvsSchedulers)) {
      settings_.scheduler = value;
      return;
    }
    Report("ipvs-scheduler", fmt::format("expected one of {}, got \"{}\"; the node's ipvs.scheduler is used",
                                         fmt::join(kIpvsSchedulers, " "), value.substr(0, 64)));
  }

  const kube::Service& service_;
  const NodeFacts& facts_;
  Findings& findings_;
  Settings settings_;
};

}  // namespace

Settings ReadSettings(const kube::Service& service, const NodeFacts& facts, Findings& findings) {
  return Reader(service, facts, findings).Read();
}

}  // namespace fairlead::plan
