// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/manifests_watch.h"

#include <sys/inotify.h>

#include <filesystem>

#include <fmt/format.h>

namespace fairlead::kube {

namespace {

namespace fs = std::filesystem;

// IN_CREATE for symlinks and hard links, which are never written; a file that is being written says
// IN_CLOSE_WRITE when it is whole.
constexpr uint32_t kFolderEvents = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE |
                                   IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
constexpr uint32_t kParentEvents = IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE | IN_ONLYDIR;

bool IsHalfWritten(const fs::path& path) {
  std::error_code error;
  fs::file_status status = fs::symlink_status(path, error);
  return status.type() == fs::file_type::regular && fs::hard_link_count(path, error) == 1;
}

}  // namespace

Result<FolderWatch> FolderWatch::Open(std::string folder) {
  Fd inotify(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!inotify) return FailErrno(errno, "inotify");
  FolderWatch watch(std::move(inotify), std::move(folder));
  if (auto watched = watch.Watch(); !watched) return std::unexpected(std::move(watched).error());
  return watch;
}

Result<> FolderWatch::Watch() {
  // The parent first: a swap between the two is then seen. The root folder is its own parent and never goes.
  fs::path parent = fs::path(folder_).parent_path();
  if (parent != folder_) parent_wd_ = ::inotify_add_watch(inotify_.Get(), parent.c_str(), kParentEvents);
  int wd = ::inotify_add_watch(inotify_.Get(), folder_.c_str(), kFolderEvents);
  if (wd < 0) return FailErrno(errno, "{}: watching the folder", folder_);
  if (folder_wd_ >= 0 && folder_wd_ != wd) ::inotify_rm_watch(inotify_.Get(), folder_wd_);
  folder_wd_ = wd;
  return {};
}

bool FolderWatch::Reopen() {
  gone_ = !Watch().has_value();
  return !gone_;
}

FolderWatch::News FolderWatch::Read() {
  News news;
  bool folder_moved = false;
  const std::string own_name = fs::path(folder_).filename();
  alignas(inotify_event) char buffer[64 * 1024];
  for (;;) {
    ssize_t size = ::read(inotify_.Get(), buffer, sizeof(buffer));
    if (size <= 0) break;
    for (ssize_t at = 0; at < size;) {
      auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
      std::string name = event->len > 0 ? std::string(event->name) : std::string();
      if (event->mask & IN_Q_OVERFLOW) {
        news.everything = true;
      } else if (event->wd == parent_wd_ && name == own_name) {
        folder_moved = true;
      } else if (event->wd == folder_wd_) {
        if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) {
          folder_moved = true;
        } else if (!(event->mask & IN_CREATE) || !IsHalfWritten(fs::path(folder_) / name)) {
          news.names.insert(std::move(name));
        }
      }
    }
  }
  if (folder_moved) {
    news.everything = true;
    Reopen();
  }
  return news;
}

}  // namespace fairlead::kube
