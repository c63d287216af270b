// SPDX-License-Identifier: Apache-2.0
// Where objects come from: a folder of manifests or an API server. A source runs threads of its own from
// Start to destruction and delivers to one Sink.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/kube/objects.h"

namespace fairlead::kube {

// How a source's watch of one kind stands; for /metrics.
struct WatchState {
  Kind kind = Kind::kService;
  bool connected = false;
  uint64_t relists = 0;     // complete lists after the first
  double last_event_s = 0;  // when the last list, event or bookmark came; Unix, 0: none yet
};

class Source {
 public:
  virtual ~Source() = default;  // stops and joins its threads
  virtual void Start(Sink& sink) = 0;
  // Any thread; empty for a source that watches no server.
  virtual std::vector<WatchState> Watches() const { return {}; }
  virtual std::string Describe() const = 0;  // "manifests /etc/fairlead/manifests", "https://10.0.0.1:6443"
};

// `path` is a file or a folder (its *.yaml, *.yml, *.json; not recursive), watched by inotify. kInvalid if it
// is neither. A file that does not parse keeps its last good contents, and is reported with file, line and
// field.
Result<std::unique_ptr<Source>> OpenManifests(const std::string& path);

// How to reach and what to ask of an API server.
struct ApiOptions {
  std::string kubeconfig;                           // path; empty: in-cluster service account
  std::string context;                              // kubeconfig context; empty: current-context
  std::string master;                               // overrides the server URL when set
  std::string node_name;                            // the Node to watch
  int page_size = 500;                              // list limit
  bool watch_list = true;                           // try sendInitialEvents where the server offers it
  std::chrono::seconds watch_timeout{300};          // asked of the server; it varies +0..100 %
  std::chrono::milliseconds answer_timeout{30000};  // to connect and to get the head of a response
  std::chrono::milliseconds idle_timeout{120000};   // a connection without a whole chunk for so long is dead
  std::chrono::milliseconds backoff_min{200};
  std::chrono::milliseconds backoff_max{30000};
  std::chrono::milliseconds optional_retry{
      600000};                        // how often to ask again for ServiceCIDRs where there are none
  size_t max_frame_bytes = 64 << 20;  // a watch event beyond it breaks the watch
  std::string service_account_dir = "/var/run/secrets/kubernetes.io/serviceaccount";
};
// Reads the kubeconfig or service account; kInvalid with file and field when it cannot be used. Connects only
// when started.
Result<std::unique_ptr<Source>> OpenApiServer(const ApiOptions& options);

}  // namespace fairlead::kube
