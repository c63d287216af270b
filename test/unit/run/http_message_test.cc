// SPDX-License-Identifier: Apache-2.0
#include "agent/run/http_message.h"

#include <gmock/gmock.h>

namespace fairlead::run {
namespace {

// "GET /path", "400", or "more".
std::string Outcome(std::string_view bytes) {
  auto request = ReadRequest(bytes);
  if (!request) return std::to_string(request.error().status);
  if (!*request) return "more";
  return (*request)->method + " " + (*request)->path;
}

TEST(ReadRequest, TakesTheRequestLineAndNothingElse) {
  const std::pair<std::string, const char*> cases[] = {
      {"GET / HTTP/1.1\r\n\r\n", "GET /"},
      {"GET /livez HTTP/1.0\r\nHost: x\r\n\r\n", "GET /livez"},
      {"POST /a?b=/c HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "POST /a"},
      {"GET /a%20b%2Fc HTTP/1.1\r\n\r\n", "GET /a b/c"},
      {"GET http://node:10256/healthz HTTP/1.1\r\n\r\n", "GET /healthz"},
      {"GET http://node HTTP/1.1\r\n\r\n", "GET /"},
      {"", "more"},
      {"G", "more"},
      {"GET / HTTP/1.1\r", "more"},
      {"GET / HTTP/1.1\r\nHost: x\r\n", "more"},
      {"GET /\r\n\r\n", "400"},
      {"GET\r\n\r\n", "400"},
      {"\r\n\r\n", "400"},
      {"GET / FTP/1.1\r\n\r\n", "400"},
      {"get / HTTP/1.1\r\n\r\n", "400"},
      {"GETGETGETGETGETGET / HTTP/1.1\r\n\r\n", "400"},
      {"GET healthz HTTP/1.1\r\n\r\n", "400"},
      {"GET * HTTP/1.1\r\n\r\n", "400"},
      {"GET /%zz HTTP/1.1\r\n\r\n", "400"},
      {"GET /%2 HTTP/1.1\r\n\r\n", "400"},
      {"GET /%00 HTTP/1.1\r\n\r\n", "400"},
      {"GET /%0a HTTP/1.1\r\n\r\n", "400"},
      {"GET / HTTP/2.0\r\n\r\n", "505"},
      {"\x16\x03\x01", "400"},
      {std::string("GET /\0 HTTP/1.1\r\n\r\n", 19), "400"},
  };
  for (const auto& [bytes, outcome] : cases) EXPECT_EQ(Outcome(bytes), outcome) << bytes;
}

TEST(ReadRequest, TheHeadIsBounded) {
  std::string line = "GET / HTTP/1.1\r\nX: ";
  EXPECT_EQ(Outcome(line + std::string(kLargestRequestHead - line.size(), 'x')), "more");
  EXPECT_EQ(Outcome(line + std::string(kLargestRequestHead - line.size(), 'x') + "\r\n\r\n"), "GET /");
  EXPECT_EQ(Outcome(line + std::string(kLargestRequestHead, 'x')), "431");
  EXPECT_EQ(Outcome(line + std::string(kLargestRequestHead, 'x') + "\r\n\r\n"), "431");
  EXPECT_EQ(Outcome(line + "\r\n\r\n" + std::string(10 * kLargestRequestHead, 'x')), "GET /");
}

TEST(RenderResponse, IsWhatRfc9112Says) {
  HttpResponse response;
  response.status = 503;
  response.content_type = "application/json";
  response.body = "{}";
  response.headers = {{"X-Count", "1"}};
  std::string head =
      "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
      "Connection: close\r\nX-Count: 1\r\n\r\n";
  EXPECT_EQ(RenderResponse(response, true), head + "{}");
  EXPECT_EQ(RenderResponse(response, false), head);
}

TEST(RenderResponse, AHeaderValueStaysOnItsLine) {
  HttpResponse response;
  response.headers = {{"X-Reason", "a\r\nSet-Cookie: b"}};
  EXPECT_THAT(RenderResponse(response, true), testing::HasSubstr("\r\nX-Reason: a  Set-Cookie: b\r\n"));
}

}  // namespace
}  // namespace fairlead::run
