// SPDX-License-Identifier: Apache-2.0
// One manifest file's text → what it holds. Pure: no files, no clock.
#pragma once

#include <compare>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "agent/kube/objects.h"

namespace fairlead::kube {

struct ObjectKey {
  Kind kind = Kind::kService;
  ObjectName name;

  friend auto operator<=>(const ObjectKey&, const ObjectKey&) = default;
};

struct LineMessage {
  size_t line = 0;      // from 1
  std::string message;  // names object and field
};

struct ManifestContents {
  struct Entry {
    ObjectKey key;
    std::string packed;  // manifests_pack.h
    size_t line = 0;
  };
  std::vector<Entry> objects;         // sorted by key, each once
  std::vector<ObjectKey> refused;     // there, but bad: what was known of them before stays
  std::vector<LineMessage> problems;  // of refused objects and of parts left out
};

enum class ManifestFormat : uint8_t { kYaml, kJson };

constexpr size_t kMaxManifestBytes = size_t{64} << 20;

// The documents of a file: objects of our kinds, lists of them; other kinds are passed over. A message
// instead if the text as a whole cannot be trusted: not UTF-8, too large, empty, broken syntax anywhere, a
// document that is no object.
std::expected<ManifestContents, LineMessage> ReadManifest(std::string_view text, ManifestFormat format);

}  // namespace fairlead::kube
