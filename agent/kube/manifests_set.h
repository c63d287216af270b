// SPDX-License-Identifier: Apache-2.0
// Files of manifests as one set of objects. An object that several files hold is taken from the first of them
// in name order; when that one lets go, the next takes over. Pure: no files, no clock. One thread at a time.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/kube/manifests_read.h"

namespace fairlead::kube {

class ManifestSet {
 public:
  struct Changes {
    std::set<ObjectKey> keys;       // of objects whose version in force is another one, or none, now
    std::vector<Problem> problems;  // `source` is "web.yaml:12"
  };

  // What `file` holds from now on, added to `changes`. An object it held and now refuses stays as it was.
  void Replace(const std::string& file, ManifestContents contents, Changes& changes);
  void Remove(const std::string& file, Changes& changes) { Replace(file, {}, changes); }

  bool Holds(const std::string& file) const { return files_.contains(file); }

  // What is in force.
  bool Has(const ObjectKey& key) const { return objects_.contains(key); }
  std::optional<Object> Find(const ObjectKey& key) const;
  std::vector<Object> All(Kind kind) const;

 private:
  struct Version {
    std::string file;
    std::string packed;
  };
  using Versions = std::vector<Version>;  // never empty; by file name; the first is in force

  void Put(const std::string& file, ManifestContents::Entry entry, Changes& changes);
  void Drop(const std::string& file, const ObjectKey& key, Changes& changes);

  std::map<ObjectKey, Versions> objects_;
  std::map<std::string, std::vector<ObjectKey>> files_;  // sorted keys
};

}  // namespace fairlead::kube
