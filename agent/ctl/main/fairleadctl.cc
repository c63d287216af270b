// SPDX-License-Identifier: Apache-2.0
// fairleadctl: looks inside a node that fairlead serves.
#include "agent/ctl/command.h"

int main(int argc, char** argv) {
  return fairlead::ctl::Main(argc, argv);
}
