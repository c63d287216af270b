// SPDX-License-Identifier: Apache-2.0
// The whole source against a live cluster: kinds and selectors, credentials, TLS, speed, and how it stops.
#include <netinet/in.h>
#include <sys/socket.h>

#include "agent/base/fd.h"
#include "test/support/objects.h"
#include "test/unit/kube/api_fixture.h"

namespace fairlead::test {
namespace {

using std::chrono_literals::operator""ms;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using Names = std::set<std::string>;
using Clock = std::chrono::steady_clock;

Service Web(const std::string& name) {
  return std::move(Service(name).ClusterIp("172.30.0.10").Port("http", 80));
}

// Adds a label to an object's JSON.
std::string Labelled(const std::string& from, const std::string& label) {
  std::string json = Minified(from);
  const size_t labels = json.find("\"labels\":{");
  if (labels != std::string::npos) return json.insert(labels + 10, "\"" + label + "\":\"x\",");
  return json.insert(json.find("\"metadata\":{") + 12, "\"labels\":{\"" + label + "\":\"x\"},");
}

class ApiSourceTest : public ::testing::Test {
 protected:
  ApiSourceTest() : ApiSourceTest(ApiServer::Options{}) {}
  explicit ApiSourceTest(const ApiServer::Options& server_options) : server(server_options) {}

  Result<std::unique_ptr<kube::Source>> Open(const std::string& kubeconfig) {
    options.kubeconfig = folder.Write("kubeconfig", kubeconfig);
    return kube::OpenApiServer(options);
  }
  void Start(const std::string& kubeconfig) {
    auto opened = Open(kubeconfig);
    ASSERT_TRUE(opened) << opened.error().message;
    source = std::move(*opened);
    source->Start(sink);
  }
  void Start() { Start(server.Kubeconfig()); }
  bool WaitForAllKinds() {
    return sink.WaitForReplaces(Kind::kService, 1) && sink.WaitForReplaces(Kind::kEndpointSlice, 1) &&
           sink.WaitForReplaces(Kind::kNode, 1) && sink.WaitForReplaces(Kind::kServiceCidr, 1);
  }

  ApiServer server;
  TestFolder folder;
  FakeSink sink;
  kube::ApiOptions options = FastOptions();
  std::unique_ptr<kube::Source> source;
};

TEST_F(ApiSourceTest, EveryKindIsDeliveredAndOnlyThisNode) {
  server.cluster().Put(Web("shop/a").ToJson());
  server.cluster().Put(Slice("shop/a").Port("http", 8080).Endpoint("10.180.1.11").On("n1").ToJson());
  server.cluster().Put(NodeObject("n1").Zone("z1").InternalIp("192.168.99.11").ToJson());
  server.cluster().Put(NodeObject("n2").Zone("z2").InternalIp("192.168.99.12").ToJson());
  server.cluster().Put(
      R"({"apiVersion":"networking.k8s.io/v1","kind":"ServiceCIDR","metadata":{"name":"kubernetes"},)"
      R"("spec":{"cidrs":["172.30.0.0/16"]}})");
  Start();
  ASSERT_TRUE(WaitForAllKinds());
  EXPECT_EQ(sink.Names(Kind::kService), Names{"shop/a"});
  EXPECT_EQ(sink.Get<kube::EndpointSlice>(Kind::kEndpointSlice, "shop/a-1").endpoints.size(), 1u);
  EXPECT_EQ(sink.Names(Kind::kNode), Names{"n1"});
  EXPECT_EQ(sink.Get<kube::ServiceCidr>(Kind::kServiceCidr, "kubernetes").cidrs.size(), 1u);
  EXPECT_EQ(source->Describe(), server.Url());
}

TEST_F(ApiSourceTest, AnObjectThatGetsAnOptOutLabelLooksDeletedAndComesBackWithoutIt) {
  const std::string web = Web("shop/a").ToJson();
  const std::string slice = Slice("shop/a").Port("http", 8080).Endpoint("10.180.1.11").ToJson();
  server.cluster().Put(web);
  server.cluster().Put(slice);
  Start();
  ASSERT_TRUE(WaitForAllKinds());
  server.cluster().Put(Labelled(web, "service.kubernetes.io/service-proxy-name"));
  server.cluster().Put(Labelled(slice, "service.kubernetes.io/headless"));
  EXPECT_TRUE(sink.WaitForNames(Kind::kService, {}));
  EXPECT_TRUE(sink.WaitForNames(Kind::kEndpointSlice, {}));
  server.cluster().Put(web);
  server.cluster().Put(slice);
  EXPECT_TRUE(sink.WaitForNames(Kind::kService, {"shop/a"}));
  EXPECT_TRUE(sink.WaitForNames(Kind::kEndpointSlice, {"shop/a-1"}));
}

TEST_F(ApiSourceTest, AServiceWithTheHeadlessLabelIsServed) {
  server.cluster().Put(Labelled(Web("shop/a").ToJson(), "service.kubernetes.io/headless"));
  Start();
  EXPECT_TRUE(sink.WaitForNames(Kind::kService, {"shop/a"}));
}

TEST_F(ApiSourceTest, AServerThatComesBackIsCaughtUpWithByTheDifference) {
  server.cluster().Put(Web("shop/a").ToJson());
  Start();
  ASSERT_TRUE(WaitForAllKinds());
  server.CloseConnections();
  server.cluster().Put(Web("shop/b").ToJson());
  server.cluster().Delete("Service", "shop/a");
  EXPECT_TRUE(sink.WaitForNames(Kind::kService, {"shop/b"}));
  EXPECT_EQ(sink.Replaces(Kind::kService), 1);
}

TEST_F(ApiSourceTest, CompactionWhileAwayLeadsToOneNewState) {
  server.cluster().Put(Web("shop/a").ToJson());
  Start();
  ASSERT_TRUE(WaitForAllKinds());
  server.Play(kServicesPath, Reply::Status(503, "ServiceUnavailable", "starting"));
  server.CloseConnections();
  server.cluster().Delete("Service", "shop/a");
  server.cluster().Put(Web("shop/b").ToJson());
  server.cluster().ForgetHistory();
  EXPECT_TRUE(sink.WaitForNames(Kind::kService, {"shop/b"}));
}

class OldServerTest : public ApiSourceTest {
 protected:
  static ApiServer::Options Old() {
    ApiServer::Options old;
    old.cluster.watch_list = false;
    old.cluster.service_cidrs = false;
    old.cluster.gzip_from = 1000;
    return old;
  }
  OldServerTest() : ApiSourceTest(Old()) {}
};

TEST_F(OldServerTest, ListsInCompressedPagesAndHasNoServiceCidrs) {
  options.page_size = 10;
  Names names;
  for (int i = 0; i < 35; ++i) {
    names.insert(fmt::format("shop/s{}", i));
    server.cluster().Put(Web(fmt::format("shop/s{}", i)).ToJson());
  }
  Start();
  ASSERT_TRUE(WaitForAllKinds());
  EXPECT_EQ(sink.Names(Kind::kService), names);
  EXPECT_THAT(sink.Names(Kind::kServiceCidr), IsEmpty());
  EXPECT_THAT(sink.Problems(), IsEmpty());
  size_t lists = 0;
  for (const Request& request : server.Requests(kServicesPath))
    lists += request.Query("watch").empty() ? 1 : 0;
  EXPECT_EQ(lists, 4u);
}

// --- who we are, and whom we trust

TEST_F(ApiSourceTest, ARotatedTokenIsTakenUpAfterARefusal) {
  server.RequireToken("one");
  const std::string path = folder.Write("token", "one\n");
  Start(server.Kubeconfig("{tokenFile: " + path + "}"));
  ASSERT_TRUE(WaitForAllKinds());
  server.RequireToken("two");
  server.CloseConnections();
  ASSERT_TRUE(sink.WaitForProblem("cannot watch services: 401: Unauthorized (as user \"agent\")"));
  folder.Write("token", "two\n");
  server.cluster().Put(Web("shop/a").ToJson());
  EXPECT_TRUE(sink.WaitForNames(Kind::kService, {"shop/a"}));
}

TEST_F(ApiSourceTest, TheInClusterServiceAccountIsUsedWithoutKubeconfig) {
  server.RequireToken("sa-token");
  folder.Write("token", "sa-token");
  folder.Write("ca.crt", server.authority().Pem());
  ::setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1", 1);
  ::setenv("KUBERNETES_SERVICE_PORT", std::to_string(server.port()).c_str(), 1);
  options.service_account_dir = folder.path();
  source = kube::OpenApiServer(options).value();
  ::unsetenv("KUBERNETES_SERVICE_HOST");
  source->Start(sink);
  EXPECT_TRUE(WaitForAllKinds());
}

TEST_F(ApiSourceTest, AnAuthorityThatIsNotOursIsRefusedWithTheReason) {
  const Authority other("other CA");
  std::string kubeconfig = server.Kubeconfig();
  const size_t data = kubeconfig.find("certificate-authority-data");
  kubeconfig.replace(data, kubeconfig.find('}', data) - data,
                     "certificate-authority: " + folder.Write("other.pem", other.Pem()));
  Start(kubeconfig);
  EXPECT_TRUE(sink.WaitForProblem("certificate not trusted: unable to get local issuer certificate"));
  EXPECT_THAT(server.Requests(kServicesPath), IsEmpty());
}

TEST_F(ApiSourceTest, SystemAuthoritiesDoNotCountWhenOneIsGiven) {
  const Authority other("other CA");
  const std::string system = folder.Write("system.pem", server.authority().Pem());
  ::setenv("SSL_CERT_FILE", system.c_str(), 1);
  std::string kubeconfig = server.Kubeconfig();
  const size_t data = kubeconfig.find("certificate-authority-data");
  std::string without = kubeconfig;
  const size_t length = kubeconfig.find('}', data) - data;
  kubeconfig.replace(data, length, "certificate-authority: " + folder.Write("other.pem", other.Pem()));
  without.replace(data, length, "disable-compression: true");
  Start(kubeconfig);
  EXPECT_TRUE(sink.WaitForProblem("certificate not trusted"));
  Start(without);
  EXPECT_TRUE(WaitForAllKinds()) << "the system's authorities count when none is given";
  ::unsetenv("SSL_CERT_FILE");
}

TEST_F(ApiSourceTest, InsecureSkipTlsVerifyTrustsAnyone) {
  std::string kubeconfig = server.Kubeconfig();
  const size_t data = kubeconfig.find("certificate-authority-data");
  kubeconfig.replace(data, kubeconfig.find('}', data) - data, "insecure-skip-tls-verify: true");
  Start(kubeconfig);
  EXPECT_TRUE(WaitForAllKinds());
}

TEST_F(ApiSourceTest, MasterReplacesTheServerOfTheKubeconfig) {
  std::string kubeconfig = server.Kubeconfig();
  kubeconfig.replace(kubeconfig.find(server.Url()), server.Url().size(), "https://127.0.0.1:1");
  options.master = server.Url();
  Start(kubeconfig);
  EXPECT_TRUE(WaitForAllKinds());
}

TEST_F(ApiSourceTest, WhatCannotBeUsedIsRefusedBeforeAnythingStarts) {
  const KeyPair keys = server.authority().Issue("agent", {});
  const std::string certificate = folder.Write("agent.pem", keys.certificate);
  const std::string other_key = folder.Write("other.key", server.authority().Issue("other", {}).key);
  EXPECT_THAT(
      Open(server.Kubeconfig("{client-certificate: " + certificate + ", client-key: " + other_key + "}"))
          .error()
          .message,
      AllOf(HasSubstr("users[agent].user.client-key"), HasSubstr("does not belong")));
  EXPECT_THAT(
      Open(server.Kubeconfig("{client-certificate: " + certificate + ", client-key: " + certificate + "}"))
          .error()
          .message,
      HasSubstr("client-key: expected an unencrypted private key"));
  options.node_name = "";
  EXPECT_THAT(Open(server.Kubeconfig()).error().message, StartsWith("node name"));
}

class ClientCertificateTest : public ApiSourceTest {
 protected:
  static ApiServer::Options Asking() {
    ApiServer::Options asking;
    asking.ask_client_certificate = true;
    return asking;
  }
  ClientCertificateTest() : ApiSourceTest(Asking()) {}
};

TEST_F(ClientCertificateTest, TheClientCertificateIsShown) {
  const KeyPair keys = server.authority().Issue("system:node-proxier", {});
  Start(server.Kubeconfig("{client-certificate: " + folder.Write("agent.pem", keys.certificate) +
                          ", client-key: " + folder.Write("agent.key", keys.key) + "}"));
  ASSERT_TRUE(WaitForAllKinds());
  EXPECT_EQ(server.Requests(kServicesPath)[0].client, "system:node-proxier");
}

class OtherNameTest : public ApiSourceTest {
 protected:
  static ApiServer::Options Named() {
    ApiServer::Options named;
    named.names = {"DNS:kubernetes.default.svc"};
    return named;
  }
  OtherNameTest() : ApiSourceTest(Named()) {}
};

TEST_F(OtherNameTest, ACertificateForAnotherNameIsRefused) {
  Start();
  EXPECT_TRUE(sink.WaitForProblem("certificate not trusted: IP address mismatch"));
}

TEST_F(OtherNameTest, TlsServerNameIsExpectedInTheCertificateAndSent) {
  std::string kubeconfig = server.Kubeconfig();
  kubeconfig.insert(kubeconfig.find("certificate-authority-data"),
                    "tls-server-name: kubernetes.default.svc, ");
  Start(kubeconfig);
  ASSERT_TRUE(WaitForAllKinds());
  EXPECT_EQ(server.Requests(kServicesPath)[0].sni, "kubernetes.default.svc");
}

class ExpiredTest : public ApiSourceTest {
 protected:
  static ApiServer::Options Expired() {
    ApiServer::Options expired;
    expired.certificate_days = -1;
    return expired;
  }
  ExpiredTest() : ApiSourceTest(Expired()) {}
};

TEST_F(ExpiredTest, AnExpiredCertificateIsRefused) {
  Start();
  EXPECT_TRUE(sink.WaitForProblem("certificate not trusted: certificate has expired"));
}

class Ipv6Test : public ApiSourceTest {
 protected:
  static ApiServer::Options OnIpv6() {
    ApiServer::Options v6;
    v6.address = "::1";
    return v6;
  }
  Ipv6Test() : ApiSourceTest(OnIpv6()) {}
};

TEST_F(Ipv6Test, AnIpv6ServerIsReachedAndVerified) {
  Start();
  ASSERT_TRUE(WaitForAllKinds());
  EXPECT_EQ(server.Requests(kServicesPath)[0].Header("host"), "[::1]");
}

// --- time

TEST_F(ApiSourceTest, StopsAtOnceInTheMidstOfSilence) {
  for (const char* path : {kServicesPath, kSlicesPath, kNodesPath, kServiceCidrsPath}) {
    server.Play(path, Reply::Watch({}, Reply::End::kSilence));
  }
  Start();
  for (const char* path : {kServicesPath, kSlicesPath, kNodesPath, kServiceCidrsPath}) {
    ASSERT_TRUE(server.WaitForRequests(path, 1));
  }
  const auto start = Clock::now();
  source.reset();
  EXPECT_LT(Clock::now() - start, 500ms);
  EXPECT_THAT(sink.Problems(), IsEmpty());
}

TEST_F(ApiSourceTest, StopsAtOnceWhileTheServerDoesNotAnswer) {
  // Listens and never accepts: the connection stands, the handshake does not come.
  Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(::bind(listener.Get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listener.Get(), 8), 0);
  ::getsockname(listener.Get(), reinterpret_cast<sockaddr*>(&address), &size);
  options.answer_timeout = std::chrono::seconds(60);
  options.master = fmt::format("https://127.0.0.1:{}", ntohs(address.sin_port));
  Start();
  std::this_thread::sleep_for(50ms);
  const auto start = Clock::now();
  source.reset();
  EXPECT_LT(Clock::now() - start, 500ms);
}

TEST_F(ApiSourceTest, AServerThatIsNotThereIsReportedOnceAKind) {
  options.master = "https://127.0.0.1:1";
  Start();
  ASSERT_TRUE(sink.WaitForProblem("https://127.0.0.1:1: cannot watch services: Failed to connect"));
  ASSERT_TRUE(sink.WaitForProblems(4));
  std::this_thread::sleep_for(100ms);  // a few more tries
  EXPECT_EQ(sink.Problems().size(), 4u);
}

TEST_F(ApiSourceTest, AnEventReachesTheSinkAtOnce) {
  Start();
  ASSERT_TRUE(WaitForAllKinds());
  std::vector<Clock::duration> times;
  for (int i = 0; i < 51; ++i) {
    const auto start = Clock::now();
    server.cluster().Put(Web(fmt::format("shop/s{}", i)).ToJson());
    ASSERT_TRUE(sink.Wait([&, i] { return sink.CountLocked(Kind::kService) == static_cast<size_t>(i) + 1; }));
    times.push_back(Clock::now() - start);
  }
  std::ranges::nth_element(times, times.begin() + 25);
  EXPECT_LT(times[25], 10ms) << "nothing may wait for a chunk or a timer";
}

TEST_F(ApiSourceTest, AFastServerIsHeldBackBySlowConsumption) {
  std::string slice = Minified(Slice("shop/a").Port("http", 8080).Endpoint("10.180.1.11").ToJson());
  slice.insert(slice.find("\"metadata\":{") + 12,
               "\"annotations\":{\"filler\":\"" + std::string(20000, 'x') + "\"},");
  std::vector<std::string> frames;
  for (int i = 0; i < 400; ++i) {
    std::string named = slice;
    named.replace(named.find("a-1"), 3, fmt::format("a-{}", i + 1));
    frames.push_back("{\"type\":\"ADDED\",\"object\":" + named + "}");
  }
  frames.push_back(R"({"type":"BOOKMARK","object":{"kind":"EndpointSlice","metadata":{"resourceVersion":"5",)"
                   R"("annotations":{"k8s.io/initial-events-end":"true"}}}})");
  server.Play(kSlicesPath, Reply::Watch(frames, Reply::End::kSilence));
  Start();
  ASSERT_TRUE(sink.WaitForReplaces(Kind::kEndpointSlice, 1)) << "8 MB pass a buffer of 1 MiB";
  EXPECT_EQ(sink.Names(Kind::kEndpointSlice).size(), 400u);
}

}  // namespace
}  // namespace fairlead::test
