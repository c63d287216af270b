// SPDX-License-Identifier: Apache-2.0
// Reads a command line, with a configuration file if there is one, the way main does.
#pragma once

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "agent/options.h"

namespace fairlead {

inline Result<Options> Read(const std::vector<std::string>& flags) {
  std::vector<const char*> words = {"fairlead"};
  for (const std::string& flag : flags) words.push_back(flag.c_str());
  Options options;
  auto exit = ReadOptions(static_cast<int>(words.size()), words.data(), options);
  if (!exit) return Unexpected(std::move(exit).error());
  if (*exit) return Fail(ErrorKind::kInternal, "asked to exit: {}", (*exit)->text);
  return options;
}

// A file that is gone with the test.
class ConfigFile {
 public:
  explicit ConfigFile(const std::string& text)
      : path_(testing::TempDir() + "fairlead-options-" + std::to_string(::getpid()) + ".yaml") {
    std::ofstream(path_) << text;
  }
  ~ConfigFile() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline Result<Options> ReadWith(const std::string& file, std::vector<std::string> flags = {}) {
  ConfigFile config(file);
  flags.insert(flags.begin(), {"--config", config.path()});
  auto options = Read(flags);
  // The path is of no interest: messages and warnings begin with "FILE".
  auto shorten = [&](std::string& text) {
    for (size_t at; (at = text.find(config.path())) != std::string::npos;)
      text.replace(at, config.path().size(), "FILE");
  };
  if (!options) {
    shorten(options.error().message);
    return options;
  }
  for (std::string& warning : options->warnings) shorten(warning);
  options->config_file.clear();
  return options;
}

inline constexpr const char* kKubeProxyHead =
    "apiVersion: kubeproxy.config.k8s.io/v1alpha1\n"
    "kind: KubeProxyConfiguration\n";
inline constexpr const char* kFairleadHead =
    "apiVersion: fairlead.io/v1alpha1\n"
    "kind: FairleadConfiguration\n";

}  // namespace fairlead
