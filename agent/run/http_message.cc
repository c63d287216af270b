// SPDX-License-Identifier: Apache-2.0
#include "agent/run/http_message.h"

#include <fmt/format.h>

#include <algorithm>

namespace fairlead::run {

namespace {

std::unexpected<HttpResponse> Refuse(int status, std::string why) {
  return std::unexpected(TextResponse(status, std::move(why) + "\n"));
}

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool IsControl(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

// "/a%20b?c" is "/a b"; nothing if malformed.
std::optional<std::string> DecodePath(std::string_view target) {
  constexpr std::string_view kScheme = "http://";  // the absolute form proxies use
  if (target.starts_with(kScheme)) {
    target.remove_prefix(std::min(target.find('/', kScheme.size()), target.size()));
    if (target.empty()) return "/";
  }
  if (!target.starts_with('/')) return std::nullopt;
  target = target.substr(0, target.find('?'));
  std::string path;
  for (size_t i = 0; i < target.size(); ++i) {
    char c = target[i];
    if (c == '%') {
      int high = i + 2 < target.size() ? HexValue(target[i + 1]) : -1;
      int low = i + 2 < target.size() ? HexValue(target[i + 2]) : -1;
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (IsControl(c)) return std::nullopt;
    path += c;
  }
  return path;
}

bool IsMethod(std::string_view text) {
  return !text.empty() && text.size() <= 16 &&
         std::ranges::all_of(text, [](char c) { return c >= 'A' && c <= 'Z'; });
}

const char* ReasonPhrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "";
  }
}

}  // namespace

std::expected<std::optional<HttpRequest>, HttpResponse> ReadRequest(std::string_view bytes) {
  size_t end = bytes.find("\r\n\r\n");
  if (std::min(end, bytes.size()) > kLargestRequestHead)
    return Refuse(431, "the head of the request is too long");
  size_t line_end = bytes.find("\r\n");
  std::string_view line = bytes.substr(0, line_end);
  if (std::ranges::any_of(line.substr(0, line.size() - line.ends_with('\r')), IsControl)) {
    return Refuse(400, "not HTTP");  // a TLS client is told at once instead of waiting for the rest
  }
  if (end == std::string_view::npos) return std::nullopt;

  size_t method_end = line.find(' ');
  size_t target_end = line.rfind(' ');
  if (method_end == std::string_view::npos || target_end <= method_end) return Refuse(400, "no request line");
  std::string_view version = line.substr(target_end + 1);
  if (!version.starts_with("HTTP/")) return Refuse(400, "no request line");
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return Refuse(505, "HTTP/1.1 or HTTP/1.0 only");
  HttpRequest request;
  request.method = line.substr(0, method_end);
  if (!IsMethod(request.method)) return Refuse(400, "malformed method");
  auto path = DecodePath(line.substr(method_end + 1, target_end - method_end - 1));
  if (!path) return Refuse(400, "malformed path");
  request.path = *std::move(path);
  return request;
}

std::string RenderResponse(const HttpResponse& response, bool with_body) {
  std::string bytes = fmt::format("HTTP/1.1 {} {}\r\n", response.status, ReasonPhrase(response.status));
  auto header = [&](std::string_view name, std::string value) {
    std::ranges::replace_if(value, IsControl, ' ');
    bytes += fmt::format("{}: {}\r\n", name, value);
  };
  header("Content-Type", response.content_type);
  header("Content-Length", std::to_string(response.body.size()));
  header("Connection", "close");
  for (const auto& [name, value] : response.headers) header(name, value);
  bytes += "\r\n";
  if (with_body) bytes += response.body;
  return bytes;
}

HttpResponse TextResponse(int status, std::string body) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(body);
  return response;
}

}  // namespace fairlead::run
