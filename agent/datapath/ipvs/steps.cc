// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ipvs/steps.h"

#include <algorithm>

#include <fmt/format.h>

namespace fairlead::ipvs {

namespace {

Step OfServer(Verb verb, const ServerKey& key, const ServerOptions& options = {}) {
  return {verb, key, options, {}, 0};
}
Step OfBackend(Verb verb, const ServerKey& key, const BackendKey& backend, uint32_t weight = 0) {
  return {verb, key, {}, backend, weight};
}

bool Lingers(const VirtualServer* wanted, const BackendKey& backend) {
  return wanted != nullptr && std::ranges::binary_search(wanted->lingering, backend);
}

// Whether a backend that leaves may go with its flows.
bool GoesAtOnce(const ServerKey& key, const VirtualServer* wanted, const BackendKey& backend) {
  return key.protocol == plan::Protocol::kUdp && !Lingers(wanted, backend);
}

void Leave(const ServerKey& key, const VirtualServer* wanted, const PresentServer& present,
           std::vector<Step>& steps) {
  for (const auto& [backend, weight] : present.backends) {
    if (wanted != nullptr && wanted->backends.contains(backend)) continue;
    if (GoesAtOnce(key, wanted, backend)) {
      steps.push_back(OfBackend(Verb::kRemoveBackend, key, backend));
    } else if (weight != 0) {
      steps.push_back(OfBackend(Verb::kSetBackend, key, backend, 0));
    }
  }
}

}  // namespace

std::string Step::ToString() const {
  switch (verb) {
    case Verb::kAddServer:
    case Verb::kSetServer:
      return fmt::format("{} {} {} flags {:#x} timeout {}", verb == Verb::kAddServer ? "add" : "set",
                         server.ToString(), options.scheduler, options.flags, options.affinity_timeout_s);
    case Verb::kRemoveServer:
      return fmt::format("remove {}", server.ToString());
    case Verb::kRemoveBackend:
      return fmt::format("remove {} of {}", backend.ToString(), server.ToString());
    default:
      return fmt::format("{} {} of {} weight {}", verb == Verb::kAddBackend ? "add" : "set",
                         backend.ToString(), server.ToString(), weight);
  }
}

std::vector<Step> StepsTo(const ServerKey& key, const VirtualServer* wanted, const PresentServer* present) {
  std::vector<Step> steps;
  if (wanted == nullptr) {
    if (present == nullptr) return steps;
    if (key.protocol == plan::Protocol::kUdp || present->backends.empty())
      return {OfServer(Verb::kRemoveServer, key)};
    Leave(key, nullptr, *present, steps);
    return steps;
  }
  if (present == nullptr) {
    steps.push_back(OfServer(Verb::kAddServer, key, wanted->options));
  } else if (present->options != wanted->options) {
    steps.push_back(OfServer(Verb::kSetServer, key, wanted->options));
  }
  for (const auto& [backend, weight] : wanted->backends) {
    const uint32_t* now = nullptr;
    if (present != nullptr) {
      const auto it = present->backends.find(backend);
      if (it != present->backends.end()) now = &it->second;
    }
    if (now == nullptr) {
      steps.push_back(OfBackend(Verb::kAddBackend, key, backend, weight));
    } else if (*now != weight) {
      steps.push_back(OfBackend(Verb::kSetBackend, key, backend, weight));
    }
  }
  if (present != nullptr) Leave(key, wanted, *present, steps);
  return steps;
}

bool Drains(const VirtualServer* wanted, const PresentServer& present) {
  if (wanted == nullptr) return true;
  return std::ranges::any_of(present.backends,
                             [&](const auto& entry) { return !wanted->backends.contains(entry.first); });
}

std::vector<Step> Drained(const ServerKey& key, const VirtualServer* wanted, const PresentServer& present,
                          const std::map<BackendKey, Connections>& connections) {
  const auto of = [&](const BackendKey& backend) {
    const auto it = connections.find(backend);
    return it == connections.end() ? Connections{} : it->second;
  };
  if (wanted == nullptr) {
    const bool established =
        std::ranges::any_of(present.backends, [&](const auto& entry) { return of(entry.first).active != 0; });
    if (established) return {};
    return {OfServer(Verb::kRemoveServer, key)};
  }
  std::vector<Step> steps;
  for (const auto& [backend, weight] : present.backends) {
    const Connections left = of(backend);
    if (wanted->backends.contains(backend) || left.active + left.inactive != 0) continue;
    steps.push_back(OfBackend(Verb::kRemoveBackend, key, backend));
  }
  return steps;
}

void Replay(const Step& step, PresentServers& servers) {
  switch (step.verb) {
    case Verb::kAddServer:
    case Verb::kSetServer:
      servers[step.server].options = step.options;
      break;
    case Verb::kRemoveServer:
      servers.erase(step.server);
      break;
    case Verb::kAddBackend:
    case Verb::kSetBackend:
      servers[step.server].backends[step.backend] = step.weight;
      break;
    case Verb::kRemoveBackend:
      servers[step.server].backends.erase(step.backend);
      break;
  }
}

}  // namespace fairlead::ipvs
