// SPDX-License-Identifier: Apache-2.0
// Manifest text: what is read from it, and the line of every fault.
#include "agent/kube/manifests_read.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/kube/manifests_pack.h"
#include "agent/kube/manifests_yaml.h"

namespace fairlead::kube {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

ManifestContents Read(std::string_view text, ManifestFormat format = ManifestFormat::kYaml) {
  auto contents = ReadManifest(text, format);
  EXPECT_TRUE(contents) << (contents ? "" : contents.error().message);
  return contents ? *std::move(contents) : ManifestContents{};
}

std::vector<std::string> Names(const ManifestContents& contents) {
  std::vector<std::string> names;
  for (const auto& entry : contents.objects) {
    names.push_back(std::string(KindName(entry.key.kind)) + " " + entry.key.name.ToString());
  }
  return names;
}

std::vector<std::string> Said(const ManifestContents& contents) {
  std::vector<std::string> said;
  for (const auto& problem : contents.problems)
    said.push_back(std::to_string(problem.line) + ": " + problem.message);
  return said;
}

std::string Fault(std::string_view text, ManifestFormat format) {
  auto contents = ReadManifest(text, format);
  EXPECT_FALSE(contents) << text;
  return contents ? "" : std::to_string(contents.error().line) + ": " + contents.error().message;
}

constexpr std::string_view kService = R"(apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
spec:
  clusterIP: 10.96.0.10
  ports:
  - name: http
    port: 80
)";

TEST(ManifestsRead, TakesSeveralDocumentsListsAndOtherPeoplesKinds) {
  auto contents = Read(std::string("# shop\n---\n") + std::string(kService) + R"(---
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: other}
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Node
  metadata: {name: n1}
- apiVersion: discovery.k8s.io/v1
  kind: EndpointSlice
  metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
  addressType: IPv4
  endpoints: [{addresses: [10.244.1.1], conditions: {ready: yes}}]
...
---
kind: ServiceCIDRList
apiVersion: networking.k8s.io/v1
items: [{metadata: {name: k}, spec: {cidrs: [10.96.0.0/12]}}]
)");
  EXPECT_THAT(Said(contents), IsEmpty());
  EXPECT_THAT(Names(contents),
              ElementsAre("Service shop/web", "EndpointSlice default/web-1", "Node n1", "ServiceCIDR k"));
}

TEST(ManifestsRead, ReadsJsonAndYamlAsTheSameObjects) {
  auto yaml = Read(kService);
  auto json = Read(R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"web","namespace":"shop"},
      "spec":{"clusterIP":"10.96.0.10","ports":[{"name":"http","port":80}]}})",
                   ManifestFormat::kJson);
  ASSERT_THAT(yaml.objects, SizeIs(1));
  ASSERT_THAT(json.objects, SizeIs(1));
  EXPECT_EQ(yaml.objects[0].packed, json.objects[0].packed);
  const auto service = std::get<Service>(Unpack(yaml.objects[0].packed));
  EXPECT_THAT(service.ports, ElementsAre(ServicePort{"http", Protocol::kTcp, 80, 0}));
}

TEST(ManifestsRead, TakesJsonValuesThatFollowEachOther) {
  auto contents =
      Read(R"({"apiVersion":"v1","kind":"Node","metadata":{"name":"a"}}{"apiVersion":"v1","kind":"Node",
      "metadata":{"name":"b"}}
      {"apiVersion":"v1","kind":"NodeList","items":[{"metadata":{"name":"c"}}]})",
           ManifestFormat::kJson);
  EXPECT_THAT(Names(contents), ElementsAre("Node a", "Node b", "Node c"));
}

struct LineCase {
  std::string from;
  std::string to;
  std::string message;
};
class ManifestsLine : public testing::TestWithParam<LineCase> {};
TEST_P(ManifestsLine, IsThatOfTheBadField) {
  std::string text(kService);
  text.replace(text.find(GetParam().from), GetParam().from.size(), GetParam().to);
  auto contents =
      Read("# a comment\n---\n" + text + "---\napiVersion: v1\nkind: Node\nmetadata: {name: n}\n");
  EXPECT_THAT(Said(contents), ElementsAre(GetParam().message));
  EXPECT_THAT(Names(contents), ElementsAre("Node n"));
}
INSTANTIATE_TEST_SUITE_P(
    Table, ManifestsLine,
    testing::Values(
        LineCase{"port: 80", "port: 70000",
                 "12: Service shop/web: spec.ports[0].port: expected 1-65535, got 70000"},
        LineCase{"port: 80", "port: \"80\"",
                 "12: Service shop/web: spec.ports[0].port: expected 1-65535, got \"80\""},
        LineCase{"port: 80", "port: 0x50",
                 "12: Service shop/web: spec.ports[0].port: expected 1-65535, got \"0x50\""},
        LineCase{"port: 80", "port: 123456789012345678901234567890",
                 "12: Service shop/web: spec.ports[0].port: expected 1-65535, got "
                 "\"123456789012345678901234567890\""},
        LineCase{"- name: http\n    port: 80", "- name: http",
                 "11: Service shop/web: spec.ports[0].port: expected 1-65535, got nothing"},
        LineCase{"name: http", "name: yes",
                 "11: Service shop/web: spec.ports[0].name: expected a string, got true"},
        LineCase{
            "clusterIP: 10.96.0.10", "clusterIP: >-\n    10.96.0.10\n    x",
            "9: Service shop/web: spec.clusterIP: expected an IPv4 or IPv6 address, got \"10.96.0.10 x\""},
        LineCase{
            "name: web", "name: Web",
            "6: Service: metadata.name: expected 1-253 lower-case letters, digits, '-' and '.', got \"Web\""},
        LineCase{"apiVersion: v1", "apiVersion: v2",
                 "3: Service shop/web: apiVersion: expected v1, got \"v2\""},
        LineCase{"kind: Service\n", "", "3: kind: expected a kind, got nothing"},
        LineCase{"  namespace: shop\n", "  namespace: shop\n  name: web\n",
                 "6: Service: metadata.name: is there twice"}));

TEST(ManifestsRead, FindsTheLineInsideJsonLists) {
  auto contents = Read(
      "{\"kind\":\"List\",\n\"apiVersion\":\"v1\",\"items\":[\n"
      "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n\"}},\n"
      "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"s\"},\n"
      "\"spec\":{\"ports\":[{\"port\":1,\"name\":\"a\"},\n{\"port\":-1}]}},\n"
      "{\"metadata\":{}}]}",
      ManifestFormat::kJson);
  EXPECT_THAT(Said(contents),
              ElementsAre("6: Service default/s: spec.ports[1].port: expected 1-65535, got -1",
                          "7: items[2]: kind: expected a kind, got nothing"));
  EXPECT_THAT(Names(contents), ElementsAre("Node n"));
  EXPECT_THAT(contents.refused, ElementsAre(ObjectKey{Kind::kService, {"default", "s"}}));
}

TEST(ManifestsRead, KeepsTheFirstOfTwoInAFileAndSaysSo) {
  auto contents = Read(
      "apiVersion: v1\nkind: Node\nmetadata: {name: n, labels: {topology.kubernetes.io/zone: z1}}\n"
      "---\napiVersion: v1\nkind: Node\nmetadata: {name: n}\n");
  EXPECT_THAT(Said(contents),
              ElementsAre("5: Node n: is defined on line 1 of this file already; that one counts"));
  ASSERT_THAT(contents.objects, SizeIs(1));
  EXPECT_EQ(std::get<Node>(Unpack(contents.objects[0].packed)).zone, "z1");
}

TEST(ManifestsRead, RefusesATextThatCannotBeTrustedWithItsLine) {
  const auto yaml = ManifestFormat::kYaml;
  const auto json = ManifestFormat::kJson;
  EXPECT_EQ(Fault("", yaml), "1: is empty");
  EXPECT_EQ(Fault(" \n\n", json), "1: is empty");
  EXPECT_EQ(Fault("a: b\nc: \xff\xfe\n", yaml), "2: not UTF-8");
  EXPECT_EQ(Fault("just words\nand more\n", yaml), "1: expected an object, got \"just words and more\"");
  EXPECT_EQ(Fault("# x\n---\n\n- a\n- b\n", yaml), "4: expected an object, got an array");
  EXPECT_THAT(Fault("a: b\n---\nc: d\n e: f\n", yaml), testing::StartsWith("4: not valid YAML: "));
  EXPECT_THAT(Fault("a: [b\n", yaml), HasSubstr("not valid YAML: "));
  EXPECT_THAT(Fault("a: &x {b: 1}\nc:\n  <<: *x\n", yaml),
              "3: not valid YAML: merge keys (<<) are not supported");
  EXPECT_THAT(Fault("? [a]\n: b\n", yaml), "1: not valid YAML: a key must be a scalar");
  EXPECT_THAT(Fault("a: b\n---\n]\n", yaml), HasSubstr("not valid YAML: "));
  EXPECT_EQ(Fault("{\"a\":1,\n\"b\":01}", json), "2: not valid JSON: expected ',' or '}'");
  EXPECT_EQ(Fault("{\"a\":1,\n\n}", json), "3: not valid JSON: expected a key in double quotes");
  EXPECT_EQ(Fault("{\"a\":1}\n{\"b\":\n", json), "3: not valid JSON: expected a value, got the end");
  EXPECT_EQ(Fault("{\"kind\":\"List\",\"items\":[\n{\"a\":tru}]}", json),
            "2: not valid JSON: expected a value");
  EXPECT_EQ(Fault("{}\n7", json), "2: expected an object, got 7");
  EXPECT_EQ(Fault(std::string(kMaxManifestBytes + 1, ' '), yaml), "1: is larger than 64 MiB");
}

TEST(ManifestsRead, RefusesDepthAndAliasBombs) {
  EXPECT_THAT(Fault("a: " + std::string(100'000, '['), ManifestFormat::kYaml), HasSubstr("not valid YAML"));
  EXPECT_THAT(Fault("{\"a\":" + std::string(100'000, '['), ManifestFormat::kJson),
              HasSubstr("not valid JSON"));
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 12; ++i) {
    bomb +=
        fmt::format("a{0}: &a{0} [*a{1},*a{1},*a{1},*a{1},*a{1},*a{1},*a{1},*a{1},*a{1},*a{1}]\n", i, i - 1);
  }
  EXPECT_THAT(Fault(bomb, ManifestFormat::kYaml), HasSubstr("more than 16 MiB"));
}

std::string ToJson(std::string_view yaml) {
  std::string out;
  auto read = ReadYaml(yaml, [&](std::string_view json, size_t) { out += std::string(json); });
  return read ? out : "fault: " + read.error().what;
}

TEST(ManifestsYaml, TypesScalarsAsKubectlDoes) {
  EXPECT_EQ(
      ToJson(
          "[80, \"80\", '80', -1, 1.5, 1e3, true, yes, 'yes', off, null, ~, , 010, 0x1f, .5, 1e999, 1.2.3]"),
      R"([80,"80","80",-1,1.5,1e3,true,true,"yes",false,null,null,null,"010","0x1f",".5","1e999","1.2.3"])");
  EXPECT_EQ(ToJson("{a: !!str 80, 80: b, null: c, true: d}"), R"({"a":"80","80":"b","null":"c","true":"d"})");
  EXPECT_EQ(ToJson("a: \"q\\\"\\\\\\t\\x07é\""), "{\"a\":\"q\\\"\\\\\\u0009\\u0007é\"}");
}

TEST(ManifestsYaml, KeepsTheLinesOfTheFile) {
  EXPECT_EQ(ToJson("a:\n  - b\n\n  - c: |\n      x\n      y\n    d: 1\n"),
            "{\"a\":\n[\"b\",\n\n{\"c\":\"x\\u000ay\\u000a\",\n\n\n\"d\":1}]}");
}

TEST(ManifestsYaml, WritesAliasesOut) {
  EXPECT_EQ(ToJson("a: &x\n  k: [1,\n 2]\nb: *x\n"), "{\"a\":{\n\"k\":[1,\n2]},\n\"b\":{ \"k\":[1, 2]}}");
}

}  // namespace
}  // namespace fairlead::kube
