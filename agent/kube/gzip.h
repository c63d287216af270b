// SPDX-License-Identifier: Apache-2.0
// Inflates one gzip stream as its bytes arrive.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "agent/base/error.h"

struct z_stream_s;

namespace fairlead::kube {

class Gunzip {
 public:
  Gunzip();
  ~Gunzip();
  Gunzip(Gunzip&&) noexcept;
  Gunzip& operator=(Gunzip&&) noexcept;

  // Appends what `in` inflates to. kInvalid if the stream is no gzip, is damaged, or has bytes after its end.
  Result<> Feed(std::string_view in, std::string& out);
  // The stream's trailer has been seen and its checksum fits.
  bool Finished() const { return finished_; }

 private:
  std::unique_ptr<z_stream_s> stream_;
  bool finished_ = false;
};

}  // namespace fairlead::kube
