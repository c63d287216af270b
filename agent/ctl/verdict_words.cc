// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/verdict_words.h"

namespace fairlead::ctl {

namespace {

constexpr const char* ActionName(action what) {
  switch (what) {
    case ACTION_PASS:
      return "pass";
    case ACTION_REJECT:
      return "reject";
    case ACTION_ANSWER:
      return "answer";
    case ACTION_DROP:
      return "drop";
  }
  return "unknown";
}

constexpr VerdictWords kVerdicts[] = {
#define X(name, action, meaning) {#name, ActionName(ACTION_##action), meaning},
    FAIRLEAD_VERDICTS(X)
#undef X
};
constexpr const char* kPrograms[] = {
#define X(name, text) text,
    FAIRLEAD_PROGRAMS(X)
#undef X
};

}  // namespace

std::span<const VerdictWords> Verdicts() {
  return kVerdicts;
}

std::span<const char* const> Programs() {
  return kPrograms;
}

}  // namespace fairlead::ctl
