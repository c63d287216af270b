// SPDX-License-Identifier: Apache-2.0
// One HTTP request to a server in a namespace, as a probe or a scraper makes it.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "test/support/client.h"

namespace fairlead::test {

struct HttpAnswer {
  int status = 0;                              // 0: no answer
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

HttpAnswer HttpGet(const Namespace& netns, const Target& server, std::string_view path);

}  // namespace fairlead::test
