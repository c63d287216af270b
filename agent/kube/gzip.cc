// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/gzip.h"

#include <zlib.h>

#include <array>

namespace fairlead::kube {

Gunzip::Gunzip() : stream_(std::make_unique<z_stream>()) {
  // 16 + MAX_WBITS: gzip framing only. Fails for want of memory alone, which Feed then reports.
  ::inflateInit2(stream_.get(), 16 + MAX_WBITS);
}

Gunzip::~Gunzip() {
  if (stream_) ::inflateEnd(stream_.get());
}

Gunzip::Gunzip(Gunzip&&) noexcept = default;

Gunzip& Gunzip::operator=(Gunzip&& other) noexcept {
  std::swap(stream_, other.stream_);
  std::swap(finished_, other.finished_);
  return *this;
}

Result<> Gunzip::Feed(std::string_view in, std::string& out) {
  std::array<char, 65536> piece;
  stream_->next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
  stream_->avail_in = static_cast<uInt>(in.size());
  while (!finished_ && (stream_->avail_in > 0 || stream_->avail_out == 0)) {
    stream_->next_out = reinterpret_cast<Bytef*>(piece.data());
    stream_->avail_out = static_cast<uInt>(piece.size());
    const int status = ::inflate(stream_.get(), Z_NO_FLUSH);
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
      return Fail(ErrorKind::kInvalid, "damaged gzip body: {}",
                  stream_->msg ? stream_->msg : ::zError(status));
    }
    out.append(piece.data(), piece.size() - stream_->avail_out);
    finished_ = status == Z_STREAM_END;
  }
  if (stream_->avail_in > 0) return Fail(ErrorKind::kInvalid, "damaged gzip body: bytes after its end");
  return {};
}

}  // namespace fairlead::kube
