// SPDX-License-Identifier: Apache-2.0
// A network namespace for one test: the calling thread is in it, and so is every program it starts.
#pragma once

#include "agent/base/fd.h"

namespace fairlead::test {

class OwnNetns {
 public:
  OwnNetns();  // aborts where none can be made; CanMake tells
  ~OwnNetns();
  OwnNetns(const OwnNetns&) = delete;
  OwnNetns& operator=(const OwnNetns&) = delete;

  static bool CanMake();

 private:
  Fd before_;
};

}  // namespace fairlead::test
