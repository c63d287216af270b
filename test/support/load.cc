// SPDX-License-Identifier: Apache-2.0
#include "test/support/load.h"

#include <fmt/format.h>

namespace fairlead::test {

Load::Load(const Namespace& from, Proto proto, Target to, int threads, ClientOptions options) {
  for (int i = 0; i < threads; ++i)
    threads_.emplace_back([this, &from, proto, to, options] { Run(from, proto, to, options); });
}

void Load::Run(const Namespace& from, Proto proto, const Target& to, const ClientOptions& options) {
  while (!ending_) {
    const int number = requests_;
    Client client(from, proto, to.address.GetFamily(), options);
    const std::string question = fmt::format("request {}", number);
    Outcome outcome;
    outcome.error = client.Connect(to);
    if (outcome.error == 0) {
      if (IsStream(proto)) outcome = client.Receive();  // the greeting
      if (!IsStream(proto) || outcome.end == End::kReached) outcome = client.Ask(question);
    }
    if (outcome.payload == question) {
      ++requests_;
    } else {
      const std::lock_guard lock(mutex_);
      failures_.push_back(fmt::format("request {} from {} to {}: {}", number, client.Local().ToString(),
                                      client.Peer().ToString(), outcome.ToString()));
    }
  }
}

bool Load::WaitForMore(int count) const {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  for (const int start = requests_; requests_ < start + count;) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

std::vector<std::string> Load::Stop() {
  ending_ = true;
  for (auto& thread : threads_) thread.join();
  threads_.clear();
  const std::lock_guard lock(mutex_);
  return failures_;
}

}  // namespace fairlead::test
