// SPDX-License-Identifier: Apache-2.0
// Decoding below decode.h, for those who must know where in a document a fault is, or what a document is
// before they decode it: the manifests.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/kube/decode_refusal.h"
#include "agent/kube/objects.h"

namespace fairlead::kube {

struct Decoded {
  Object object;
  std::string resource_version;
  std::vector<Refusal> left_out;  // parts of the object that are bad, and that it can do without
};

// One object of a known kind. A Service or EndpointSlice without a namespace gets `default_namespace`; with
// none to give that is a fault.
std::expected<Decoded, Refusal> DecodeDocument(Kind kind, std::string_view json,
                                               std::string_view default_namespace);

// What a document says it is.
struct DocumentHead {
  std::string api_version;
  std::string kind;
};
// Fails if `json` is no JSON object or these are no strings; both may be empty.
std::expected<DocumentHead, Refusal> ReadHead(std::string_view json);

std::string_view ApiVersion(Kind kind);  // "v1", "discovery.k8s.io/v1", ...

}  // namespace fairlead::kube
