// SPDX-License-Identifier: Apache-2.0
// Steady requests from a namespace while a test changes the cluster: threads that connect, ask, check the
// answer and close, over and over.
#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "test/support/client.h"

namespace fairlead::test {

class Load {
 public:
  Load(const Namespace& from, Proto proto, Target to, int threads = 2, ClientOptions options = {});
  ~Load() { Stop(); }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  int Requests() const { return requests_; }
  // Blocks until `count` more requests have been answered; false if that takes longer than 10 s.
  bool WaitForMore(int count) const;
  // Ends the threads; what went wrong with each failed request.
  std::vector<std::string> Stop();

 private:
  void Run(const Namespace& from, Proto proto, const Target& to, const ClientOptions& options);

  std::atomic<bool> ending_ = false;
  std::atomic<int> requests_ = 0;
  std::mutex mutex_;  // guards failures_
  std::vector<std::string> failures_;
  std::vector<std::thread> threads_;
};

}  // namespace fairlead::test
