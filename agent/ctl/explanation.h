// SPDX-License-Identifier: Apache-2.0
// What tc_explain answered, with what is needed to say it in words. Pure from here on.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/ctl/explain_place.h"
#include "agent/ctl/explain_request.h"
#include "agent/ctl/render.h"
#include "agent/ctl/snapshot.h"
#include "maps/backends.h"
#include "maps/explain.h"
#include "maps/frontends.h"

namespace fairlead::ctl {

struct Explanation {
  Question question;
  ::explain answer{};
  Snapshot snapshot;
  NodeDevices devices;
  bool unseen = false;  // the real programs pass the packet without this walk (explain_filter.h)

  // What was recorded; a count beyond the table is no reason to read beyond it.
  std::span<const explain_step> Steps() const;
  const explain_step* Find(explain_step_kind kind) const;  // the last of this kind, or null
};

// The numbers of a step, taken apart as maps/explain.h says.
struct FlowStep {
  Endpoint to;
  uint8_t state;  // enum flow_state
  uint8_t flags;  // enum flow_flag
  explicit FlowStep(const explain_step& step);
};
struct FrontendStep {
  Address address;
  frontend word;
  uint32_t scope;  // enum frontend_scope
  explicit FrontendStep(const explain_step& step);
};
struct RunStep {
  uint32_t service_id;
  uint32_t count;
  uint8_t algorithm;  // enum frontend_algorithm
  explicit RunStep(const explain_step& step);
};
struct BackendStep {
  Endpoint at;
  uint32_t id;
  uint8_t flags;  // enum backend_flag
  explicit BackendStep(const explain_step& step);
};

// Names of small enumerations, as in JSON.
std::string StepName(uint32_t kind);                      // "flow_hit"
std::string_view EgressName(uint64_t egress);             // enum flow_egress: "stack"
std::string_view AlgorithmName(uint8_t value);            // enum frontend_algorithm: "random"
std::string_view MasqueradeName(uint8_t frontend_flags);  // "nobody", "outside", "all"
std::vector<std::string_view> RoleNames(uint64_t roles);  // enum address_role: "node", "cluster_ip"

// The entry of the snapshot that a frontend step is about; null if it has changed since.
const Frontend* FrontendOf(const Explanation& explanation, const FrontendStep& step);
// The Service that the steps are about; nothing if none is.
std::optional<plan::ServicePortKey> ServiceOf(const Explanation& explanation);
// Where a backend of this id is, by the snapshot.
const Backend* BackendOf(const Explanation& explanation, uint64_t id);

// Whether the walk found something of ours, so that to pass the packet unseen is wrong.
bool IsOurs(const Explanation& explanation);
// What is to be said of a packet that passes unseen.
std::string UnseenWords(const Explanation& explanation);

// One step in words; steps after it can say more about it. Without the label.
std::string StepWords(const Explanation& explanation, size_t index);
// What stands in front: "conntrack".
std::string_view StepLabel(uint32_t kind);

std::string RenderExplanation(const Explanation& explanation, Format format);

}  // namespace fairlead::ctl
