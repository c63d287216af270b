// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/manifests_set.h"

#include <algorithm>

#include <fmt/format.h>

#include "agent/kube/manifests_pack.h"

namespace fairlead::kube {

void ManifestSet::Replace(const std::string& file, ManifestContents contents, Changes& changes) {
  for (LineMessage& problem : contents.problems) {
    changes.problems.push_back({fmt::format("{}:{}", file, problem.line), std::move(problem.message)});
  }

  std::vector<ObjectKey> before;
  if (auto it = files_.find(file); it != files_.end()) before = std::move(it->second);
  std::vector<ObjectKey> now;
  now.reserve(contents.objects.size());
  for (const ManifestContents::Entry& entry : contents.objects) now.push_back(entry.key);
  for (ObjectKey& key : contents.refused) {
    if (std::binary_search(before.begin(), before.end(), key)) now.push_back(std::move(key));
  }
  std::sort(now.begin(), now.end());
  now.erase(std::unique(now.begin(), now.end()), now.end());

  for (const ObjectKey& key : before) {
    if (!std::binary_search(now.begin(), now.end(), key)) Drop(file, key, changes);
  }
  for (ManifestContents::Entry& entry : contents.objects) Put(file, std::move(entry), changes);
  if (now.empty()) {
    files_.erase(file);
  } else {
    files_[file] = std::move(now);
  }
}

std::optional<Object> ManifestSet::Find(const ObjectKey& key) const {
  auto it = objects_.find(key);
  if (it == objects_.end()) return std::nullopt;
  return Unpack(it->second.front().packed);
}

std::vector<Object> ManifestSet::All(Kind kind) const {
  std::vector<Object> all;
  auto begin = objects_.lower_bound({kind, {}});
  auto end =
      std::find_if(begin, objects_.end(), [kind](const auto& entry) { return entry.first.kind != kind; });
  all.reserve(static_cast<size_t>(std::distance(begin, end)));
  for (auto it = begin; it != end; ++it) {
    all.push_back(Unpack(it->second.front().packed));
  }
  return all;
}

void ManifestSet::Put(const std::string& file, ManifestContents::Entry entry, Changes& changes) {
  Versions& versions = objects_[entry.key];
  auto at =
      std::lower_bound(versions.begin(), versions.end(), file,
                       [](const Version& version, const std::string& name) { return version.file < name; });
  bool first = at == versions.begin();
  if (at != versions.end() && at->file == file) {
    if (at->packed == entry.packed) return;
    at->packed = std::move(entry.packed);
  } else {
    bool shared = !versions.empty();
    at = versions.insert(at, {file, std::move(entry.packed)});
    if (shared) {
      changes.problems.push_back(
          {fmt::format("{}:{}", file, entry.line),
           fmt::format("{} {}: is in {} too; {} counts, the first by name", KindName(entry.key.kind),
                       entry.key.name.ToString(), first ? versions[1].file : versions[0].file,
                       versions[0].file)});
      if (first && versions[1].packed == versions[0].packed) return;
    }
  }
  if (first) changes.keys.insert(entry.key);
}

void ManifestSet::Drop(const std::string& file, const ObjectKey& key, Changes& changes) {
  auto it = objects_.find(key);
  Versions& versions = it->second;
  auto at = std::find_if(versions.begin(), versions.end(), [&](const Version& v) { return v.file == file; });
  bool was_first = at == versions.begin();
  std::string packed = std::move(at->packed);
  versions.erase(at);
  if (versions.empty()) {
    objects_.erase(it);
    changes.keys.insert(key);
  } else if (was_first && versions.front().packed != packed) {
    changes.keys.insert(key);
  }
}

}  // namespace fairlead::kube
