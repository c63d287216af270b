// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/settings.h"

#include <charconv>
#include <optional>
#include <string_view>

#include <fmt/format.h>

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

}  // namespace

Settings ReadSettings(const kube::Service& service, Algorithm default_algorithm, Findings& findings) {
  Settings settings;
  settings.algorithm = default_algorithm;
  auto report = [&](const std::string& key, std::string what) {
    findings.push_back({"annotation " + key, fmt::format("Service {}: annotation fairlead.io/{}: {}",
                                                         service.name.ToString(), key, what)});
  };
  for (const auto& [key, value] : service.settings) {
    if (key == "algorithm") {
      if (value == "random") {
        settings.algorithm = Algorithm::kRandom;
      } else if (value == "maglev") {
        settings.algorithm = Algorithm::kMaglev;
      } else {
        report(key, fmt::format("expected random or maglev, got \"{}\"; {} is used",
                                std::string_view(value).substr(0, 64), AlgorithmName(default_algorithm)));
      }
    } else if (key == "weights") {
      std::string_view bad;
      if (auto weights = ParseWeights(value, bad)) {
        settings.weights = std::move(*weights);
      } else {
        report(key, fmt::format("expected address=weight entries with each address once and weights 1-{}, "
                                "separated by commas, got \"{}\"; every weight is 1",
                                kMaxWeight, bad.substr(0, 64)));
      }
    } else if (key == "forwarding") {
      if (value == "dsr") {
        settings.forwarding = Forwarding::kDsr;
      } else if (value != "nat") {
        report(key, fmt::format("expected nat or dsr, got \"{}\"; nat is used",
                                std::string_view(value).substr(0, 64)));
      }
    } else {
      report(key, "expected one of algorithm, weights, forwarding; it has no effect");
    }
  }
  return settings;
}

}  // namespace fairlead::plan
