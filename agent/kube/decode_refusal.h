// SPDX-License-Identifier: Apache-2.0
// Why an object, or a part of it, was not taken: where in its JSON, what was expected, what was there. Kept
// in pieces until it is printed, because manifests find the line in the file by the path.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "agent/kube/objects.h"

namespace fairlead::kube {

// One step down into JSON: a key of an object or an index of an array.
struct PathStep {
  std::string key;  // empty: an index
  size_t index = 0;

  friend bool operator==(const PathStep&, const PathStep&) = default;
};

// "spec.ports[0].port"; a key that is no plain word is quoted: metadata.annotations["fairlead.io/weights"].
std::string PathText(const std::vector<PathStep>& path);

struct Refusal {
  ObjectName name;               // as far as it could be read
  std::string resource_version;  // the same
  std::vector<PathStep> path;    // empty: the object as a whole
  std::string what;              // "expected 1-65535, got 70000"
  bool not_json = false;         // the text itself is broken: nothing in it can be trusted

  std::string Message(Kind kind) const;  // "Service shop/cart: spec.ports[0].port: expected ..."
};

}  // namespace fairlead::kube
