// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/kubeconfig.h"

#include "agent/kube/token.h"
#include "test/unit/kube/api_fixture.h"

namespace fairlead::test {
namespace {

using kube::ReadKubeconfig;
using std::chrono_literals::operator""s;
using ::testing::AllOf;
using ::testing::HasSubstr;

// A kubeconfig with one cluster and one user, both as YAML flow maps.
std::string Config(const std::string& cluster, const std::string& user) {
  return "current-context: c\ncontexts:\n- name: c\n  context: {cluster: k, user: u}\nclusters:\n- name: k\n "
         " cluster: " +
         cluster + "\nusers:\n- name: u\n  user: " + user + "\n";
}

std::string Refusal(const std::string& text) {
  TestFolder folder;
  auto access = ReadKubeconfig(folder.Write("config", text), "");
  return access ? "accepted" : access.error().message;
}

std::string RefusedCluster(const std::string& cluster) {
  return Refusal(Config(cluster, "{token: t}"));
}
std::string RefusedUser(const std::string& user) {
  return Refusal(Config("{server: \"https://h:1\"}", user));
}

TEST(Kubeconfig, ReadsServerTokenAndNames) {
  TestFolder folder;
  auto access = ReadKubeconfig(
      folder.Write("config",
                   Config("{server: \"https://h:6443/\", tls-server-name: api}", "{token: secret}")),
      "");
  ASSERT_TRUE(access) << access.error().message;
  EXPECT_EQ(access->server, "https://h:6443");
  EXPECT_EQ(access->tls_server_name, "api");
  EXPECT_EQ(access->token, "secret");
  EXPECT_EQ(access->user, "user \"u\"");
  EXPECT_FALSE(access->insecure_skip_tls_verify);
}

TEST(Kubeconfig, RelativePathsStartAtTheFile) {
  TestFolder folder;
  Authority authority;
  const KeyPair keys = authority.Issue("agent", {});
  folder.Write("ca.pem", authority.Pem());
  folder.Write("agent.pem", keys.certificate);
  folder.Write("agent.key", keys.key);
  folder.Write("token", "t\n");
  auto access = ReadKubeconfig(
      folder.Write("config",
                   Config("{server: \"https://h:1\", certificate-authority: ca.pem}",
                          "{client-certificate: ./agent.pem, client-key: agent.key, tokenFile: token}")),
      "");
  ASSERT_TRUE(access) << access.error().message;
  EXPECT_EQ(*access->ca.Read(), authority.Pem());
  EXPECT_EQ(*access->client_certificate.Read(), keys.certificate);
  EXPECT_EQ(*access->client_key.Read(), keys.key);
  EXPECT_EQ(access->token_file, folder.path() + "/token");
}

TEST(Kubeconfig, InlineDataWinsOverTheFile) {
  TestFolder folder;
  ApiServer server;
  std::string text = server.Kubeconfig();
  text.replace(text.find("certificate-authority-data"), 0, "certificate-authority: /not/there, ");
  auto access = ReadKubeconfig(folder.Write("config", text), "");
  ASSERT_TRUE(access) << access.error().message;
  EXPECT_EQ(access->ca.data, server.authority().Pem());
}

TEST(Kubeconfig, TheContextAskedForIsTaken) {
  TestFolder folder;
  const std::string path = folder.Write("config",
                                        "current-context: a\n"
                                        "contexts:\n- {name: a, context: {cluster: ka, user: u}}\n"
                                        "- {name: b, context: {cluster: kb, user: u}}\n"
                                        "clusters:\n- {name: ka, cluster: {server: 'https://a:1'}}\n"
                                        "- {name: kb, cluster: {server: 'https://b:1'}}\n"
                                        "users:\n- {name: u, user: {token: t}}\n");
  EXPECT_EQ(ReadKubeconfig(path, "")->server, "https://a:1");
  EXPECT_EQ(ReadKubeconfig(path, "b")->server, "https://b:1");
  EXPECT_THAT(ReadKubeconfig(path, "x").error().message,
              AllOf(HasSubstr(path), HasSubstr("contexts: none is called \"x\" (there: a, b)")));
}

TEST(Kubeconfig, AnIpv6ServerIsTaken) {
  TestFolder folder;
  auto access = ReadKubeconfig(
      folder.Write("config", Config("{server: \"https://[fd00::1]:6443\"}", "{token: t}")), "");
  ASSERT_TRUE(access) << access.error().message;
  EXPECT_EQ(access->server, "https://[fd00::1]:6443");
}

TEST(Kubeconfig, ARefusalNamesFileAndField) {
  EXPECT_THAT(RefusedCluster("{server: h}"),
              AllOf(HasSubstr("/config: clusters[k].cluster.server"), HasSubstr("got \"h\"")));
  EXPECT_THAT(RefusedCluster("{server: \"http://h:1\"}"), HasSubstr("a token is not sent over plain http"));
  EXPECT_THAT(
      RefusedCluster("{server: \"https://h:1\", certificate-authority: /not/there}"),
      AllOf(HasSubstr("clusters[k].cluster.certificate-authority: "), HasSubstr("/not/there: No such file")));
  EXPECT_THAT(RefusedCluster("{server: \"https://h:1\", certificate-authority-data: \"%%%\"}"),
              HasSubstr("certificate-authority-data: expected base64"));
  EXPECT_THAT(RefusedCluster("{server: \"https://h:1\", certificate-authority-data: aGVsbG8=}"),
              HasSubstr("certificate-authority-data: expected PEM"));
  EXPECT_THAT(RefusedCluster("{server: \"https://h:1\", insecure-skip-tls-verify: maybe}"),
              HasSubstr("insecure-skip-tls-verify: expected true or false, got \"maybe\""));
  EXPECT_THAT(RefusedCluster("{server: \"https://h:1\", proxy-url: \"http://p\"}"), HasSubstr("proxy-url"));
  EXPECT_THAT(RefusedUser("{tokenFile: /not/there}"), HasSubstr("users[u].user.tokenFile: /not/there"));
  EXPECT_THAT(RefusedUser("{token: [a]}"), HasSubstr("users[u].user.token: expected text"));
  EXPECT_THAT(Refusal("contexts: {"), HasSubstr("/config: line "));
  EXPECT_THAT(Refusal("[]"), HasSubstr("expected a map"));
  EXPECT_THAT(Refusal("contexts: []\n"), HasSubstr("current-context: expected the name of a context"));
  EXPECT_THAT(ReadKubeconfig("/not/there", "").error().message, HasSubstr("/not/there: No such file"));
}

TEST(Kubeconfig, UsersThatNeedAProgramAreRefusedByName) {
  EXPECT_THAT(RefusedUser("{exec: {command: aws}}"),
              AllOf(HasSubstr("users[u].user.exec"), HasSubstr("user \"u\"")));
  EXPECT_THAT(RefusedUser("{auth-provider: {name: gcp}}"), HasSubstr("users[u].user.auth-provider"));
  EXPECT_THAT(RefusedUser("{username: a, password: b}"), HasSubstr("users[u].user.username"));
}

TEST(Kubeconfig, ACertificateNeedsItsKey) {
  TestFolder folder;
  const std::string certificate = folder.Write("agent.pem", Authority().Issue("agent", {}).certificate);
  EXPECT_THAT(RefusedUser("{client-certificate: " + certificate + "}"), HasSubstr("client-key is missing"));
}

TEST(Kubeconfig, AnAuthorityAndNoVerificationExcludeEachOther) {
  TestFolder folder;
  const std::string ca = folder.Write("ca.pem", Authority().Pem());
  EXPECT_THAT(
      RefusedCluster(
          "{server: \"https://h:1\", insecure-skip-tls-verify: true, certificate-authority: " + ca + "}"),
      HasSubstr("not allowed together with insecure-skip-tls-verify"));
}

TEST(InCluster, TakesTheServiceAccount) {
  TestFolder folder;
  folder.Write("token", "t");
  folder.Write("ca.crt", Authority().Pem());
  ::setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
  ::setenv("KUBERNETES_SERVICE_PORT", "443", 1);
  auto access = kube::InClusterAccess(folder.path());
  ASSERT_TRUE(access) << access.error().message;
  EXPECT_EQ(access->server, "https://[fd00::1]:443");
  EXPECT_EQ(access->token_file, folder.path() + "/token");
  EXPECT_EQ(access->ca.file, folder.path() + "/ca.crt");
  EXPECT_THAT(kube::InClusterAccess("/not/there").error().message, HasSubstr("/not/there/ca.crt"));
  ::unsetenv("KUBERNETES_SERVICE_HOST");
  EXPECT_THAT(kube::InClusterAccess(folder.path()).error().message, HasSubstr("KUBERNETES_SERVICE_HOST"));
}

TEST(Token, ARotatedFileIsReadAgainAfterTenSecondsOrARefusal) {
  TestFolder folder;
  kube::Token token("", folder.Write("token", "one\n"));
  const auto start = kube::Token::Clock::now();
  EXPECT_EQ(*token.Get(start), "one");
  folder.Write("token", "two\n");
  EXPECT_EQ(*token.Get(start + 9s), "one");
  EXPECT_EQ(*token.Get(start + 10s), "two");
  folder.Write("token", "three\n");
  token.Refused();
  EXPECT_EQ(*token.Get(start + 11s), "three");
}

TEST(Token, AFileThatVanishesLeavesTheLastTokenInForce) {
  TestFolder folder;
  const std::string path = folder.Write("token", "one");
  kube::Token token("", path);
  const auto start = kube::Token::Clock::now();
  EXPECT_EQ(*token.Get(start), "one");
  std::filesystem::remove(path);
  EXPECT_EQ(*token.Get(start + 20s), "one");
  EXPECT_THAT(kube::Token("", path).Get(start).error().message, HasSubstr(path));
}

}  // namespace
}  // namespace fairlead::test
