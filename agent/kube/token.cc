// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/token.h"

#include <fstream>
#include <iterator>

namespace fairlead::kube {

Result<std::string> Token::Get(Clock::time_point now) {
  std::lock_guard lock(mutex_);
  if (file_.empty() || (!read_now_ && now - read_at_ < kReadInterval)) return text_;
  std::ifstream in(file_);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  text.erase(text.find_last_not_of(" \t\r\n") + 1);
  read_at_ = now;
  read_now_ = false;
  if (!in.bad() && !text.empty()) text_ = std::move(text);
  if (text_.empty()) {
    read_now_ = true;
    return Fail(ErrorKind::kUnavailable, "token file {}: expected a token, found none", file_);
  }
  return text_;
}

void Token::Refused() {
  std::lock_guard lock(mutex_);
  read_now_ = true;
}

}  // namespace fairlead::kube
