// SPDX-License-Identifier: Apache-2.0
// JSON of the Kubernetes API into objects.h, with simdjson. Strict on what the agent uses, blind to the rest.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/kube/objects.h"

namespace fairlead::kube {

// Decodes one object whose kind is known (list items carry none). kInvalid with "Service shop/cart:
// spec.ports[0].port: expected 1-65535, got 70000". Parts that are bad but can be missed (one external IP of
// several, one endpoint's address) are left out and told in `left_out`, if given.
Result<Object> DecodeObject(Kind kind, std::string_view json, std::vector<std::string>* left_out = nullptr);

// What a list response holds: metadata, and the items that could be decoded; bad items, and parts that were
// left out of good ones, are problems, not errors.
struct ListPage {
  std::string resource_version;
  std::string continue_token;  // empty: last page
  std::vector<Object> objects;
  std::vector<Problem> problems;
};
// kInvalid if the body as a whole is not a list of this kind.
Result<ListPage> DecodeList(Kind kind, std::string_view json);

// One line of a watch.
struct WatchEvent {
  enum class Type : uint8_t { kAdded, kModified, kDeleted, kBookmark, kError };
  Type type = Type::kBookmark;
  std::string resource_version;       // of the object; for kError empty
  bool initial_events_end = false;    // kBookmark with annotation k8s.io/initial-events-end
  Object object;                      // kAdded, kModified, kDeleted (kDeleted: only the name is promised)
  std::vector<std::string> left_out;  // bad parts that `object` goes without: to be reported
  int code = 0;                       // kError: Status.code
  std::string message;                // kError: Status.message
};
// A frame that is no event is kInvalid; an event whose object is bad is kInvalid too, with object_name and
// resource_version (where readable) in `bad`, so that the watch can go on after it.
struct BadObject {
  ObjectName name;
  std::string resource_version;
};
Result<WatchEvent> DecodeWatchEvent(Kind kind, std::string_view json, BadObject* bad);

// metav1.Status of an error response; code 0 if the body is none.
struct Status {
  int code = 0;
  std::string reason;
  std::string message;
  int retry_after_s = 0;       // details.retryAfterSeconds
  std::string continue_token;  // metadata.continue of a 410 on a list
};
Status DecodeStatus(std::string_view json);

}  // namespace fairlead::kube
