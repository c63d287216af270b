// SPDX-License-Identifier: Apache-2.0
// A setting's value as its user wrote it, on the command line or in the file, and its reading as a type. The
// errors of every As… say what was expected and what was there; the caller adds where (Value::where).
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/error.h"

namespace fairlead::config {

struct Value {
  enum class Form {
    kFlag,    // text from the command line: takes any type
    kPlain,   // unquoted YAML scalar: true and 10 are not strings
    kQuoted,  // quoted YAML scalar: a string
    kList,
    kMap,
  };
  Form form = Form::kFlag;
  std::string where;                                   // "--cluster-cidr", "kube-proxy.yaml:12: clusterCIDR"
  std::string text;                                    // kFlag, kPlain, kQuoted
  std::vector<Value> items;                            // kList: scalars
  std::vector<std::pair<std::string, Value>> entries;  // kMap: scalars
};

Result<bool> AsBool(const Value& value);
Result<int64_t> AsInteger(const Value& value, int64_t min, int64_t max);
Result<double> AsNumber(const Value& value);     // finite
Result<std::string> AsText(const Value& value);  // blanks trimmed; UTF-8 without control characters
Result<std::chrono::milliseconds> AsDuration(const Value& value);  // rounded up; negative refused
Result<std::vector<std::string>> AsList(const Value& value);       // of texts; a flag's is comma-separated
Result<std::vector<std::pair<std::string, bool>>> AsSwitches(
    const Value& value);  // a flag's is "A=true,B=false"

}  // namespace fairlead::config
