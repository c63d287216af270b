// SPDX-License-Identifier: Apache-2.0
// Looks at every packet that a namespace's devices send or receive, loopback included: did one for this
// destination leave a socket untranslated, or none at all?
#pragma once

#include "test/support/client.h"

namespace fairlead::test {

class Capture {
 public:
  // Sees packets from here on. Throws std::runtime_error.
  explicit Capture(const Namespace& netns);
  // Packets of `proto` to `to` since the last call, or since the start. Fragments and extension headers do
  // not occur in a lab and are not looked into.
  int Take(Proto proto, const Target& to) { return Drain(proto, to).all; }
  // The same, but only those that left for another host.
  int TakeSent(Proto proto, const Target& to) { return Drain(proto, to).sent; }

 private:
  struct Packets {
    int all = 0, sent = 0;
  };
  Packets Drain(Proto proto, const Target& to);

  Fd fd_;
};

}  // namespace fairlead::test
