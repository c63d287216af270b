// SPDX-License-Identifier: Apache-2.0
// As much of HTTP/1.1 (RFC 9112) as the agent's pages need: the head of a request is read, its body is not,
// and a connection carries one exchange. Pure functions over bytes.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fairlead::run {

struct HttpRequest {
  std::string method;  // "GET"
  std::string path;    // percent-decoded, without the query
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  std::vector<std::pair<std::string, std::string>>
      headers;  // beside Content-Type, Content-Length, Connection
};

inline constexpr size_t kLargestRequestHead = 16 * 1024;

// Nothing while `bytes` are no complete head yet. What cannot be understood, or is longer than
// kLargestRequestHead, is answered with the response given as error.
std::expected<std::optional<HttpRequest>, HttpResponse> ReadRequest(std::string_view bytes);

// The response as bytes; the body left out but counted for HEAD. Control characters in header values become
// blanks, so that no value can start a line of its own.
std::string RenderResponse(const HttpResponse& response, bool with_body);

// A plain text answer.
HttpResponse TextResponse(int status, std::string body);

}  // namespace fairlead::run
