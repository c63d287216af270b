// SPDX-License-Identifier: Apache-2.0
#include "agent/run/http_server.h"

#include <gmock/gmock.h>

#include <future>
#include <stdexcept>
#include <thread>

#include "agent/run/listener.h"
#include "test/unit/run/http_client.h"

namespace fairlead::run {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

HttpResponse Say(std::string body) {
  HttpResponse response;
  response.body = std::move(body);
  return response;
}

HttpRoutes Pages() {
  HttpRoutes routes;
  routes["/hello"] = [](const HttpRequest&) {
    HttpResponse response = Say("hello\n");
    response.content_type = "application/json";
    response.headers.emplace_back("X-Answer", "42");
    return response;
  };
  routes["/ill"] = [](const HttpRequest&) {
    HttpResponse response = Say("ill");
    response.status = 503;
    return response;
  };
  routes["/throws"] = [](const HttpRequest&) -> HttpResponse { throw std::runtime_error("secret"); };
  return routes;
}

class HttpServerTest : public testing::Test {
 protected:
  Result<HttpServer> server_ = HttpServer::Listen("127.0.0.1:0", Pages());
  void SetUp() override { ASSERT_TRUE(server_) << server_.error().message; }
  uint16_t port() { return server_->port(); }
};

TEST_F(HttpServerTest, AnswersAnExactPathWithItsHeaders) {
  std::string answer = Get(port(), "/hello");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\nContent-Type: application/json\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\nContent-Length: 6\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\nX-Answer: 42\r\n"));
  EXPECT_EQ(Body(answer), "hello\n");
}

TEST_F(HttpServerTest, IgnoresTheQuery) {
  EXPECT_EQ(Body(Get(port(), "/hello?verbose=1")), "hello\n");
}

TEST_F(HttpServerTest, NamesTheAddressWithThePortInUse) {
  EXPECT_NE(port(), 0);
  EXPECT_EQ(server_->address(), "127.0.0.1:" + std::to_string(port()));
}

TEST_F(HttpServerTest, ServesNothingButItsPaths) {
  for (const char* path : {"/", "/hello/", "/hello/more", "/Hello", "/etc/passwd", "/../../etc/passwd",
                           "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/*", "/CMakeLists.txt"}) {
    std::string answer = Get(port(), path);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 4")) << path;
    EXPECT_THAT(answer, Not(HasSubstr("root:"))) << path;
  }
}

TEST_F(HttpServerTest, GivesTheHandlersStatus) {
  EXPECT_THAT(Get(port(), "/ill"), StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
}

TEST_F(HttpServerTest, HeadHasLengthButNoBody) {
  std::string answer = Get(port(), "/hello", "HEAD");
  EXPECT_THAT(answer, HasSubstr("\r\nContent-Length: 6\r\n"));
  EXPECT_EQ(Body(answer), "");
}

TEST_F(HttpServerTest, RefusesOtherMethods) {
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS"}) {
    std::string answer = Get(port(), "/hello", method);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 405 ")) << method;
    EXPECT_THAT(answer, HasSubstr("\r\nAllow: GET, HEAD\r\n")) << method;
  }
}

TEST_F(HttpServerTest, AnExceptionIsAnswer500WithoutItsText) {
  std::string answer = Get(port(), "/throws");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 500 "));
  EXPECT_THAT(answer, Not(HasSubstr("secret")));
}

TEST_F(HttpServerTest, SurvivesRubbishAndHugeRequests) {
  const std::string requests[] = {
      "\r\n\r\n",
      "GET\r\n\r\n",
      std::string("\x16\x03\x01\x02\0\x01", 6) + "\r\n\r\n",
      "GET /hello HTTP/9.9\r\n\r\n",
      "GET /" + std::string(40000, 'a') + " HTTP/1.1\r\n\r\n",
      "GET /hello HTTP/1.1\r\nX: " + std::string(40000, 'a') + "\r\n\r\n",
  };
  for (const std::string& request : requests) {
    EXPECT_THAT(Exchange(port(), request), Not(HasSubstr(" 200 "))) << request.substr(0, 40);
  }
  EXPECT_EQ(Body(Get(port(), "/hello")), "hello\n");
}

TEST_F(HttpServerTest, TellsATlsClientAtOnce) {
  EXPECT_THAT(Exchange(port(), std::string("\x16\x03\x01\x02\x00\x01", 6)), StartsWith("HTTP/1.1 400 "));
}

TEST_F(HttpServerTest, ARequestInPiecesIsPutTogether) {
  Fd client = Connect(port());
  std::string request = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
  for (char c : request) ASSERT_EQ(::send(client.Get(), &c, 1, MSG_NOSIGNAL), 1);
  EXPECT_EQ(Body(ReadAll(client)), "hello\n");
}

TEST_F(HttpServerTest, ABodyBehindTheHeadDoesNotCutOffTheAnswer) {
  std::string request = "GET /hello HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + std::string(100000, 'b');
  EXPECT_EQ(Body(Exchange(port(), request)), "hello\n");
}

TEST_F(HttpServerTest, IdleClientsDoNotKeepOthersOut) {
  std::vector<Fd> idle;
  for (int i = 0; i < 300; ++i) {
    idle.push_back(Connect(port()));
    ASSERT_EQ(::send(idle.back().Get(), "GET ", 4, MSG_NOSIGNAL), 4);
  }
  EXPECT_EQ(Body(Get(port(), "/hello")), "hello\n");
}

TEST_F(HttpServerTest, AnIdleClientIsGivenUpAfterFiveSeconds) {
  auto start = std::chrono::steady_clock::now();
  Fd client = Connect(port());
  EXPECT_EQ(ReadAll(client), "");
  auto waited = std::chrono::steady_clock::now() - start;
  EXPECT_GT(waited, std::chrono::milliseconds(4500));
  EXPECT_LT(waited, std::chrono::milliseconds(9000));
}

TEST_F(HttpServerTest, SendsALargeAnswerToASlowReaderWhole) {
  HttpRoutes routes;
  const std::string large(8 << 20, 'x');
  routes["/large"] = [&](const HttpRequest&) { return Say(large); };
  auto server = HttpServer::Listen("127.0.0.1:0", routes);
  ASSERT_TRUE(server);
  Fd client = Connect(server->port());
  std::string request = "GET /large HTTP/1.1\r\n\r\n";
  ::send(client.Get(), request.data(), request.size(), MSG_NOSIGNAL);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_EQ(Body(ReadAll(client)).size(), large.size());
}

TEST_F(HttpServerTest, AnswersManyClientsAtOnce) {
  std::vector<std::future<std::string>> answers;
  for (int i = 0; i < 20; ++i) {
    answers.push_back(std::async(std::launch::async, [this] { return Body(Get(port(), "/hello")); }));
  }
  for (auto& answer : answers) EXPECT_EQ(answer.get(), "hello\n");
}

TEST_F(HttpServerTest, StopsListeningWhenItsOwnerGoes) {
  uint16_t port_was = port();
  {
    HttpServer owner = std::move(*server_);
    EXPECT_EQ(Body(Get(port_was, "/hello")), "hello\n");
  }
  EXPECT_EQ(Get(port_was, "/hello"), "");
}

TEST(HttpServer, StopsAtOnceWithClientsUnderWay) {
  auto server = std::make_unique<HttpServer>(*HttpServer::Listen("127.0.0.1:0", Pages()));
  Fd client = Connect(server->port());
  auto start = std::chrono::steady_clock::now();
  server.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
  EXPECT_EQ(ReadAll(client), "");
}

TEST_F(HttpServerTest, ATakenPortIsAnErrorThatNamesTheAddress) {
  auto second = HttpServer::Listen(server_->address(), Pages());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, EADDRINUSE);
  EXPECT_EQ(second.error().message, "listen on " + server_->address() + ": Address already in use");
}

TEST(HttpServer, AnAddressThatIsNotOfThisHostIsAnError) {
  auto server = HttpServer::Listen("192.0.2.1:8080", Pages());
  ASSERT_FALSE(server);
  EXPECT_THAT(server.error().message, StartsWith("listen on 192.0.2.1:8080: "));
}

TEST(HttpServer, WhatIsNoAddressIsInvalid) {
  for (const char* text :
       {"", "80", ":80", "localhost:80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999",
        "127.0.0.1:80,127.0.0.1:81", "127.0.0.1:80s", "::1:80", "[127.0.0.1]:80", "[::1]80"}) {
    auto server = HttpServer::Listen(text, Pages());
    ASSERT_FALSE(server) << text;
    EXPECT_EQ(server.error().kind, ErrorKind::kInvalid) << text;
  }
}

bool HasIpv6() {
  return OpenListener("[::1]:0").has_value();
}

TEST(HttpServer, TheUnspecifiedIpv6AddressTakesBothFamilies) {
  if (!HasIpv6()) GTEST_SKIP() << "no IPv6 on loopback here";
  auto server = HttpServer::Listen("[::]:0", Pages());
  ASSERT_TRUE(server) << server.error().message;
  EXPECT_EQ(server->address(), "[::]:" + std::to_string(server->port()));
  EXPECT_EQ(Body(Get(server->port(), "/hello", "GET", AF_INET6)), "hello\n");
  EXPECT_EQ(Body(Get(server->port(), "/hello", "GET", AF_INET)), "hello\n");
}

TEST(HttpServer, AnIpv6AddressTakesIpv6) {
  if (!HasIpv6()) GTEST_SKIP() << "no IPv6 on loopback here";
  auto server = HttpServer::Listen("[::1]:0", Pages());
  ASSERT_TRUE(server) << server.error().message;
  EXPECT_EQ(Body(Get(server->port(), "/hello", "GET", AF_INET6)), "hello\n");
  EXPECT_EQ(Get(server->port(), "/hello", "GET", AF_INET), "");
}

TEST(HttpServer, TheStarTakesEveryOtherPathWithAnyMethod) {
  HttpRoutes routes;
  routes["/known"] = [](const HttpRequest&) { return Say("known"); };
  routes["*"] = [](const HttpRequest& request) {
    return Say(fmt::format("{} {}", request.method, request.path));
  };
  auto server = HttpServer::Listen("127.0.0.1:0", routes);
  ASSERT_TRUE(server) << server.error().message;
  EXPECT_EQ(Body(Get(server->port(), "/known")), "known");
  EXPECT_EQ(Body(Get(server->port(), "/a/b")), "GET /a/b");
  EXPECT_EQ(Body(Get(server->port(), "/", "POST")), "POST /");
}

}  // namespace
}  // namespace fairlead::run
