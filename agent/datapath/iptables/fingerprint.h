// SPDX-License-Identifier: Apache-2.0
// Whether anybody has changed the rules of this network namespace, by one system call instead of a look at
// the rules: nf_tables counts its transactions; of a table of legacy xtables the kernel tells the number of
// rules, their size and where each hook begins. The latter misses a rule that takes another's place.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/fd.h"
#include "agent/base/netlink.h"
#include "agent/datapath/iptables/backend.h"

namespace fairlead::iptables {

class Fingerprint {
 public:
  virtual ~Fingerprint() = default;
  // Differs from the last one if there was a change. Empty: not known.
  virtual std::string Take() = 0;
  // True where no change is missed.
  virtual bool exact() const = 0;
};

// Tells the changes of others from ours. One for all that a fingerprint covers: nf_tables counts those of
// both families. One thread.
class Watch {
 public:
  explicit Watch(std::unique_ptr<Fingerprint> fingerprint) : fingerprint_(std::move(fingerprint)) {}

  // Around every write of ours. A change by another in between is missed.
  void BeforeWrite() { Look(); }
  void AfterWrite() { seen_ = fingerprint_->Take(); }

  // Whether others have changed something since the family's last call.
  bool TakeTouched(Family family) {
    Look();
    return std::exchange(touched_[family == Family::kIpv6], false);
  }
  bool exact() const { return fingerprint_->exact(); }

 private:
  void Look() {
    std::string now = fingerprint_->Take();
    if (now == seen_) return;
    seen_ = std::move(now);
    touched_ = {true, true};
  }

  std::unique_ptr<Fingerprint> fingerprint_;
  std::string seen_;
  std::array<bool, 2> touched_{};
};

// Sockets of the calling thread's network namespace.
Result<std::unique_ptr<Fingerprint>> OpenFingerprint(Backend::Kind kind, Family family);

}  // namespace fairlead::iptables
