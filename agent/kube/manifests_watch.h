// SPDX-License-Identifier: Apache-2.0
// What happens in a folder, by inotify: names of files that were written, came or went, and whether the
// folder itself did. Follows the folder's path: a folder that is removed, or whose symlink is swapped, is
// found again.
#pragma once

#include <set>
#include <string>

#include "agent/base/error.h"
#include "agent/base/fd.h"

namespace fairlead::kube {

class FolderWatch {
 public:
  // `folder` is absolute. Fails if it cannot be watched now.
  static Result<FolderWatch> Open(std::string folder);

  int fd() const { return inotify_.Get(); }  // readable when Read() has something

  struct News {
    std::set<std::string> names;
    bool everything = false;  // events were lost, or the folder is another one: look at all of it
  };
  News Read();

  // There is no folder at the path now. Read() finds it again if its parent stands; else Reopen() does.
  bool gone() const { return gone_; }
  bool Reopen();  // true if it is there

 private:
  FolderWatch(Fd inotify, std::string folder) : inotify_(std::move(inotify)), folder_(std::move(folder)) {}
  Result<> Watch();

  Fd inotify_;
  std::string folder_;
  int folder_wd_ = -1;
  int parent_wd_ = -1;
  bool gone_ = false;
};

}  // namespace fairlead::kube
