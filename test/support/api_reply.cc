// SPDX-License-Identifier: Apache-2.0
#include "test/support/api_reply.h"

#include <fmt/format.h>
#include <zlib.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

namespace fairlead::test {
namespace {

std::string StatusBody(int code, const std::string& reason, const std::string& message) {
  return fmt::format(
      R"({{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":"{}","reason":"{}","code":{}}})",
      message, reason, code);
}

}  // namespace

Reply Reply::Json(int status, const std::string& body, const std::string& headers) {
  return {
      {{fmt::format("HTTP/1.1 {} Status\r\nContent-Type: application/json\r\n{}Content-Length: {}\r\n\r\n{}",
                    status, headers, body.size(), body)}}};
}

Reply Reply::Status(int code, const std::string& reason, const std::string& message,
                    const std::string& headers) {
  return Json(code, StatusBody(code, reason, message), headers);
}

Reply Reply::Watch(const std::vector<std::string>& frames, End end) {
  Reply reply{{{WatchHead()}}, end};
  for (const std::string& frame : frames) reply.parts.push_back({Chunk(frame + "\n")});
  if (end == End::kKeepAlive) reply.parts.push_back({std::string(kLastChunk)});
  return reply;
}

Reply Reply::Recorded(const std::string& name, End end) {
  const std::string path = std::string(FAIRLEAD_SOURCE_DIR "/test/recordings/") + name + ".raw";
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    std::perror(path.c_str());
    std::abort();
  }
  return {{{std::string{std::istreambuf_iterator<char>(in), {}}}}, end};
}

Reply Reply::Slowly(size_t size, std::chrono::milliseconds pause) && {
  std::vector<Part> slow;
  for (const Part& part : parts) {
    for (size_t at = 0; at < part.bytes.size(); at += size)
      slow.push_back({part.bytes.substr(at, size), pause});
  }
  parts = std::move(slow);
  return std::move(*this);
}

After Send(const Reply& reply, Connection& connection) {
  for (const Reply::Part& part : reply.parts) {
    if (part.before.count() > 0 && !connection.Quiet(part.before)) return After::kClose;
    if (!connection.Write(part.bytes)) return After::kClose;
  }
  switch (reply.end) {
    case Reply::End::kKeepAlive:
      return After::kKeepAlive;
    case Reply::End::kClose:
      connection.Close();
      return After::kClose;
    case Reply::End::kBreak:
      return After::kClose;
    case Reply::End::kReset:
      connection.Reset();
      return After::kClose;
    case Reply::End::kSilence:
      connection.Quiet(std::chrono::hours(1));
      return After::kClose;
  }
  return After::kClose;
}

std::string WatchHead() {
  return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
}

std::string Chunk(std::string_view bytes) {
  return fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes);
}

std::string ErrorChunk(int code, const std::string& reason, const std::string& message) {
  return Chunk(fmt::format("{{\"type\":\"ERROR\",\"object\":{}}}\n", StatusBody(code, reason, message)));
}

std::string Gzip(std::string_view text) {
  z_stream stream{};
  ::deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string out(::deflateBound(&stream, text.size()), 0);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  if (::deflate(&stream, Z_FINISH) != Z_STREAM_END) std::abort();
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}

}  // namespace fairlead::test
