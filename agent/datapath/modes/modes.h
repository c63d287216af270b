// SPDX-License-Identifier: Apache-2.0
// The four datapaths as one choice: which of them this node can run, how the chosen one is opened, and what
// of the others, and of kube-proxy, goes once it serves.
#pragma once

#include <memory>
#include <string>

#include "agent/base/fd.h"
#include "agent/datapath/datapath.h"
#include "agent/datapath/modes/mode.h"
#include "agent/options.h"

namespace fairlead::modes {

struct Choice {
  Mode mode = Mode::kEbpf;
  std::string
      reason;  // one line for the log, /metrics: "asked for", "auto: ebpf: missing ...; nftables: ..."
  std::unique_ptr<datapath::Datapath> datapath;
  Fd claim = Fd();  // on this network namespace (only_one.h)
};

// The mode that was asked for, or with auto the first that opens. In ebpf mode what BPF does not serve here
// (SCTP) goes to nftables, or to iptables, beside it; from the first Service on that needs it.
//
// The datapath's Prune also removes what the other modes, earlier runs and kube-proxy left on this node: by
// then it serves, and the sources know everything there is.
Result<Choice> Open(const Options& options);

// --cleanup: everything of ours, in whatever mode it was made; kube-proxy's stays. Goes on after a failure,
// and returns the first.
Result<void> CleanUp(const Options& options);

}  // namespace fairlead::modes
