// SPDX-License-Identifier: Apache-2.0
// Answers of an API server as bytes: well-formed ones, recorded ones, and broken ones made of parts with
// pauses.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "test/support/https_server.h"

namespace fairlead::test {

struct Reply {
  struct Part {
    std::string bytes;
    std::chrono::milliseconds before{0};  // pause
  };
  enum class End {
    kKeepAlive,  // ready for the next request
    kClose,      // close_notify and FIN
    kBreak,      // FIN in the midst of it
    kReset,      // RST
    kSilence,    // nothing more; open until the client goes
  };
  std::vector<Part> parts;
  End end = End::kKeepAlive;

  // `headers` are lines with their CRLF.
  static Reply Json(int status, const std::string& body, const std::string& headers = "");
  // A metav1.Status.
  static Reply Status(int code, const std::string& reason, const std::string& message,
                      const std::string& headers = "");
  // The start of a watch and these frames, a chunk each; the last chunk only with kKeepAlive.
  static Reply Watch(const std::vector<std::string>& frames, End end = End::kKeepAlive);
  // The bytes of test/recordings/NAME.raw.
  static Reply Recorded(const std::string& name, End end = End::kKeepAlive);
  // The same bytes in parts of `size` bytes with pauses between.
  Reply Slowly(size_t size, std::chrono::milliseconds pause) &&;
};

// Plays the reply; whether the connection can go on.
After Send(const Reply& reply, Connection& connection);

constexpr std::string_view kLastChunk = "0\r\n\r\n";
std::string WatchHead();
std::string Chunk(std::string_view bytes);
std::string ErrorChunk(int code, const std::string& reason, const std::string& message);
std::string Gzip(std::string_view text);

}  // namespace fairlead::test
