// SPDX-License-Identifier: Apache-2.0
// Decoding by table: what each field becomes, and what each fault says.
#include "agent/kube/decode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fairlead::kube {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Address Ip(std::string_view text) {
  return *Address::Parse(text);
}
Cidr Net(std::string_view text) {
  return *Cidr::Parse(text);
}

std::string ServiceJson(const std::string& spec, const std::string& more = "") {
  return R"({"metadata":{"name":"cart","namespace":"shop"},"spec":{)" + spec + "}" + more + "}";
}
std::string SliceJson(const std::string& more) {
  return R"({"metadata":{"name":"cart-1","namespace":"shop","labels":{"kubernetes.io/service-name":"cart"}},)" +
         more + "}";
}

template <typename T>
T Decode(const std::string& json) {
  constexpr Kind kind = std::same_as<T, Service>         ? Kind::kService
                        : std::same_as<T, EndpointSlice> ? Kind::kEndpointSlice
                        : std::same_as<T, Node>          ? Kind::kNode
                                                         : Kind::kServiceCidr;
  auto object = DecodeObject(kind, json);
  EXPECT_TRUE(object) << (object ? "" : object.error().message) << "\n" << json;
  return object ? std::get<T>(*object) : T{};
}

std::string ErrorOf(Kind kind, const std::string& json) {
  auto object = DecodeObject(kind, json);
  EXPECT_FALSE(object) << json;
  return object ? "" : object.error().message;
}

TEST(DecodeService, ReadsEveryFieldTheAgentUses) {
  auto service = Decode<Service>(R"({
    "kind": "Service", "apiVersion": "v1",
    "metadata": {"name": "cart", "namespace": "shop", "creationTimestamp": "2026-11-21T09:13:37Z",
      "annotations": {"fairlead.io/algorithm": "maglev", "example.com/x": "y"}},
    "spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10", "fd00::a"],
      "ports": [{"name": "http", "port": 80, "nodePort": 30080, "targetPort": "web"},
                {"name": "dns", "protocol": "UDP", "port": 53}, {"name": "s", "protocol": "SCTP", "port": 80}],
      "externalIPs": ["203.0.113.7", "203.0.113.7"], "loadBalancerSourceRanges": [" 10.1.2.3/8 ", "fd00::/8\n"],
      "internalTrafficPolicy": "Local", "externalTrafficPolicy": "Local", "sessionAffinity": "ClientIP",
      "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}, "healthCheckNodePort": 31000},
    "status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.1"}, {"ip": "198.51.100.2", "ipMode": "VIP"},
      {"ip": "198.51.100.3", "ipMode": "Proxy"}, {"hostname": "lb.example.com"}]}}})");
  EXPECT_EQ(service.name.ToString(), "shop/cart");
  EXPECT_EQ(service.creation_time_s, 1795252417);
  EXPECT_EQ(service.type, ServiceType::kLoadBalancer);
  EXPECT_FALSE(service.other_proxy);
  EXPECT_THAT(service.cluster_ips, ElementsAre(Ip("10.96.0.10"), Ip("fd00::a")));
  EXPECT_THAT(service.ports, ElementsAre(ServicePort{"http", Protocol::kTcp, 80, 30080},
                                         ServicePort{"dns", Protocol::kUdp, 53, 0},
                                         ServicePort{"s", Protocol::kSctp, 80, 0}));
  EXPECT_THAT(service.external_ips, ElementsAre(Ip("203.0.113.7")));
  EXPECT_THAT(service.load_balancer_ips, ElementsAre(Ip("198.51.100.1"), Ip("198.51.100.2")));
  EXPECT_THAT(service.source_ranges, ElementsAre(Net("10.0.0.0/8"), Net("fd00::/8")));
  EXPECT_TRUE(service.internal_local);
  EXPECT_TRUE(service.external_local);
  EXPECT_EQ(service.affinity_timeout_s, 60u);
  EXPECT_EQ(service.health_check_node_port, 31000);
  EXPECT_THAT(service.settings,
              ElementsAre(std::pair<const std::string, std::string>("algorithm", "maglev")));
}

TEST(DecodeService, FillsInWhatIsNotThere) {
  auto service = Decode<Service>(ServiceJson(R"("clusterIP":"10.96.0.10","ports":[{"port":80}])"));
  EXPECT_EQ(service.type, ServiceType::kClusterIp);
  EXPECT_THAT(service.cluster_ips, ElementsAre(Ip("10.96.0.10")));
  EXPECT_THAT(service.ports, ElementsAre(ServicePort{"", Protocol::kTcp, 80, 0}));
  EXPECT_FALSE(service.internal_local);
  EXPECT_FALSE(service.external_local);
  EXPECT_EQ(service.affinity_timeout_s, 0u);
  EXPECT_EQ(service.creation_time_s, 0);
}

TEST(DecodeService, TakesNullForAbsent) {
  auto service = Decode<Service>(
      R"({"metadata":{"name":"cart","namespace":"shop","labels":null,"annotations":null,"creationTimestamp":null},
          "spec":{"clusterIPs":null,"clusterIP":"10.96.0.10","ports":[{"port":80,"name":null,"nodePort":null}],
          "externalIPs":null,"sessionAffinity":null,"sessionAffinityConfig":null},"status":null})");
  EXPECT_THAT(service.cluster_ips, ElementsAre(Ip("10.96.0.10")));
  EXPECT_THAT(service.ports, SizeIs(1));
}

TEST(DecodeService, HasNoClusterIpWhenHeadlessUnsetOrAName) {
  for (const char* spec :
       {R"("clusterIP":"None","clusterIPs":["None"])", R"("clusterIP":"")", R"("ports":[])",
        R"("type":"ExternalName","clusterIP":"10.96.0.1","externalName":"example.com")"}) {
    EXPECT_THAT(Decode<Service>(ServiceJson(spec)).cluster_ips, IsEmpty()) << spec;
  }
}

TEST(DecodeService, DefaultsTheAffinityTimeout) {
  auto service = Decode<Service>(ServiceJson(R"("sessionAffinity":"ClientIP")"));
  EXPECT_EQ(service.affinity_timeout_s, 10800u);
}

TEST(DecodeService, IsAnothersWithTheProxyNameLabelWhateverItsValue) {
  auto service = Decode<Service>(R"({"metadata":{"name":"a","namespace":"b",
      "labels":{"service.kubernetes.io/service-proxy-name":""}},"spec":{}})");
  EXPECT_TRUE(service.other_proxy);
}

TEST(DecodeService, LeavesOutAnAddressItCanDoWithoutAndSaysSo) {
  std::vector<std::string> left_out;
  auto object = DecodeObject(
      Kind::kService,
      ServiceJson(R"("externalIPs":["203.0.113.7","nonsense","127.0.0.1","0.0.0.0","224.0.0.1"])",
                  R"(,"status":{"loadBalancer":{"ingress":[{"ip":"1.2.3"},{"ip":"198.51.100.1"},
                     {"ip":"198.51.100.2","ipMode":"Other"}]}})"),
      &left_out);
  ASSERT_TRUE(object);
  EXPECT_THAT(std::get<Service>(*object).external_ips, ElementsAre(Ip("203.0.113.7")));
  EXPECT_THAT(std::get<Service>(*object).load_balancer_ips, ElementsAre(Ip("198.51.100.1")));
  constexpr const char* kUnicast = "expected a unicast address that is not the node's own loopback";
  EXPECT_THAT(
      left_out,
      ElementsAre(
          "Service shop/cart: spec.externalIPs[1]: expected an IPv4 or IPv6 address, got \"nonsense\"",
          HasSubstr(kUnicast), HasSubstr(kUnicast), HasSubstr(kUnicast),
          "Service shop/cart: status.loadBalancer.ingress[0].ip: expected an IPv4 or IPv6 address, got "
          "\"1.2.3\"",
          "Service shop/cart: status.loadBalancer.ingress[2].ipMode: expected VIP or Proxy, got \"Other\""));
}

struct BadCase {
  std::string json;
  std::string message;
};

class DecodeServiceFault : public testing::TestWithParam<BadCase> {};
TEST_P(DecodeServiceFault, NamesObjectFieldAndExpectation) {
  EXPECT_EQ(ErrorOf(Kind::kService, GetParam().json), GetParam().message);
}
INSTANTIATE_TEST_SUITE_P(
    Table, DecodeServiceFault,
    testing::Values(
        BadCase{ServiceJson(R"("ports":[{"port":70000}])"),
                "Service shop/cart: spec.ports[0].port: expected 1-65535, got 70000"},
        BadCase{ServiceJson(R"("ports":[{"port":80},{"name":"x","port":0}])"),
                "Service shop/cart: spec.ports[1].port: expected 1-65535, got 0"},
        BadCase{ServiceJson(R"("ports":[{"name":"x"}])"),
                "Service shop/cart: spec.ports[0].port: expected 1-65535, got nothing"},
        BadCase{ServiceJson(R"("ports":[{"port":"80"}])"),
                "Service shop/cart: spec.ports[0].port: expected 1-65535, got \"80\""},
        BadCase{ServiceJson(R"("ports":[{"port":80.5}])"),
                "Service shop/cart: spec.ports[0].port: expected 1-65535, got 80.5"},
        BadCase{ServiceJson(R"("ports":[{"port":-1}])"),
                "Service shop/cart: spec.ports[0].port: expected 1-65535, got -1"},
        BadCase{ServiceJson(R"("ports":[{"port":18446744073709551615}])"),
                "Service shop/cart: spec.ports[0].port: expected 1-65535, got 18446744073709551615"},
        BadCase{ServiceJson(R"("ports":[{"port":80,"nodePort":65536}])"),
                "Service shop/cart: spec.ports[0].nodePort: expected 0-65535, got 65536"},
        BadCase{ServiceJson(R"("ports":[{"port":80,"protocol":"ICMP"}])"),
                "Service shop/cart: spec.ports[0].protocol: expected TCP or UDP or SCTP, got \"ICMP\""},
        BadCase{
            ServiceJson(R"("ports":[{"port":80,"name":"a b"}])"),
            "Service shop/cart: spec.ports[0].name: expected at most 63 lower-case letters, digits and '-', "
            "got \"a b\""},
        BadCase{ServiceJson(R"("ports":[{"port":80},{"port":81}])"),
                "Service shop/cart: spec.ports[1]: has the name \"\" of another TCP port"},
        BadCase{ServiceJson(R"("ports":[{"name":"a","port":80},{"name":"b","port":80}])"),
                "Service shop/cart: spec.ports[1]: has the port number of port \"a\""},
        BadCase{ServiceJson(
                    R"("ports":[{"name":"a","port":80,"nodePort":3},{"name":"b","port":81,"nodePort":3}])"),
                "Service shop/cart: spec.ports[1]: has the nodePort of port \"a\""},
        BadCase{ServiceJson(R"("ports":[null])"),
                "Service shop/cart: spec.ports[0].port: expected 1-65535, got nothing"},
        BadCase{ServiceJson(R"("ports":{"port":80})"),
                "Service shop/cart: spec.ports: expected an array, got an object"},
        BadCase{ServiceJson(R"("ports":[],"clusterIP":"10.96.0.1")"),
                "Service shop/cart: spec.ports: expected at least one port, got an array"},
        BadCase{ServiceJson(R"("clusterIP":"10.96.0.999")"),
                "Service shop/cart: spec.clusterIP: expected an IPv4 or IPv6 address, got \"10.96.0.999\""},
        BadCase{ServiceJson(R"("clusterIPs":["10.96.0.1","10.96.0.2"])"),
                "Service shop/cart: spec.clusterIPs[1]: is a second IPv4 address, after 10.96.0.1"},
        BadCase{ServiceJson(R"("clusterIP":"127.0.0.1")"),
                "Service shop/cart: spec.clusterIP: expected a unicast address that is not the node's own "
                "loopback, "
                "got \"127.0.0.1\""},
        BadCase{ServiceJson(R"("type":"Cluster")"),
                "Service shop/cart: spec.type: expected ClusterIP or NodePort or LoadBalancer or "
                "ExternalName, got "
                "\"Cluster\""},
        BadCase{
            ServiceJson(R"("loadBalancerSourceRanges":["10.0.0.0/8","10.0.0.0/33"])"),
            "Service shop/cart: spec.loadBalancerSourceRanges[1]: expected a CIDR such as 10.0.0.0/8, got "
            "\"10.0.0.0/33\""},
        BadCase{ServiceJson(R"("internalTrafficPolicy":"local")"),
                "Service shop/cart: spec.internalTrafficPolicy: expected Cluster or Local, got \"local\""},
        BadCase{
            ServiceJson(
                R"("sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":0}})"),
            "Service shop/cart: spec.sessionAffinityConfig.clientIP.timeoutSeconds: expected 1-86400, got 0"},
        BadCase{ServiceJson(R"("healthCheckNodePort":true)"),
                "Service shop/cart: spec.healthCheckNodePort: expected 0-65535, got true"},
        BadCase{ServiceJson(R"("type":"NodePort","type":"ClusterIP")"),
                "Service shop/cart: spec.type: is there twice"},
        BadCase{R"({"metadata":{"name":"a","namespace":"b","annotations":{"fairlead.io/x":1}}})",
                "Service b/a: metadata.annotations[\"fairlead.io/x\"]: expected a string, got 1"},
        BadCase{
            R"({"metadata":{"namespace":"b"}})",
            "Service: metadata.name: expected 1-253 lower-case letters, digits, '-' and '.', got nothing"},
        BadCase{
            R"({"metadata":{"name":"a\nb","namespace":"b"}})",
            "Service: metadata.name: expected 1-253 lower-case letters, digits, '-' and '.', got \"a\\nb\""},
        BadCase{R"({"metadata":{"name":"a"}})",
                "Service: metadata.namespace: expected 1-63 lower-case letters, digits and '-', got nothing"},
        BadCase{R"({"kind":"Node","metadata":{"name":"a","namespace":"b"}})",
                "Service: kind: expected Service, got \"Node\""},
        BadCase{R"({"metadata":[]})", "Service: metadata: expected an object, got an array"},
        BadCase{"[]", "Service: expected an object, got an array"},
        BadCase{"", "Service: not valid JSON: Empty: no JSON found"}));

TEST(DecodeService, RefusesTextThatIsNoJsonInEveryWay) {
  std::string deep = ServiceJson(R"("x":)" + std::string(5000, '[') + std::string(5000, ']'));
  for (const std::string& json :
       {deep, std::string("{\"metadata\":{\"name\":\"\xff\xfe\"}}"), std::string(R"({"a":1e999})"),
        std::string(R"({"a":123456789012345678901234567890})"), std::string(R"({"a":01})"), std::string("{"),
        std::string(R"({"a":"\ud800"})"), std::string(1, '\0'), std::string(R"({"a":1}})")}) {
    EXPECT_THAT(ErrorOf(Kind::kService, json), HasSubstr("Service: not valid JSON: ")) << json.substr(0, 60);
  }
}

TEST(DecodeService, QuotesLittleOfALongValueAndNeverHalfACharacter) {
  std::string message = ErrorOf(Kind::kService, ServiceJson(R"("type":")" + std::string(62, 'a') + "漢字\""));
  EXPECT_THAT(message, testing::EndsWith(std::string(62, 'a') + "..."));
}

TEST(DecodeSlice, ReadsEveryFieldTheAgentUses) {
  auto slice = Decode<EndpointSlice>(R"({
    "metadata": {"name": "cart-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "cart"},
      "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "2026-11-21T10:13:37.000000012+01:00"}},
    "addressType": "IPv4", "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
    "endpoints": [
      {"addresses": ["10.244.1.1", "10.244.1.2"], "nodeName": "n1", "conditions": {},
       "hints": {"forZones": [{"name": "z1"}], "forNodes": [{"name": "n1"}, {"name": "n2"}]}},
      {"addresses": ["10.244.1.3"], "conditions": {"ready": false, "serving": true, "terminating": true}},
      {"addresses": []}]})");
  EXPECT_EQ(slice.service, "cart");
  EXPECT_FALSE(slice.headless);
  EXPECT_EQ(slice.family, Family::kIpv4);
  EXPECT_EQ(slice.trigger_time_ns, 1795252417'000000012);
  EXPECT_THAT(slice.ports,
              ElementsAre(SlicePort{"http", Protocol::kTcp, 8080}, SlicePort{"", Protocol::kUdp, 53}));
  EXPECT_THAT(slice.endpoints, ElementsAre(Endpoint{Ip("10.244.1.1"),
                                                    true,
                                                    true,
                                                    false,
                                                    Symbol("n1"),
                                                    {Symbol("z1")},
                                                    {Symbol("n1"), Symbol("n2")}},
                                           Endpoint{Ip("10.244.1.3"), false, true, true, {}, {}, {}}));
}

TEST(DecodeSlice, DropsPortsWithoutNumberOrWithANullName) {
  auto slice = Decode<EndpointSlice>(
      SliceJson(R"("addressType":"IPv4","ports":[{"name":"a"},{"name":"b","port":0},{"name":null,"port":1},
                {"name":"c","port":null},{"name":"d","port":2}])"));
  EXPECT_THAT(slice.ports, ElementsAre(SlicePort{"d", Protocol::kTcp, 2}));
}

TEST(DecodeSlice, KnowsHeadlessAndFqdnSlices) {
  auto headless = Decode<EndpointSlice>(R"({"metadata":{"name":"a","namespace":"b",
      "labels":{"service.kubernetes.io/headless":""}},"addressType":"IPv6"})");
  EXPECT_TRUE(headless.headless);
  EXPECT_EQ(headless.family, Family::kIpv6);
  EXPECT_EQ(headless.service, "");
  auto fqdn = Decode<EndpointSlice>(
      SliceJson(R"("addressType":"FQDN","endpoints":[{"addresses":["www.example.com"]}])"));
  EXPECT_TRUE(fqdn.fqdn);
  EXPECT_THAT(fqdn.endpoints, IsEmpty());
}

TEST(DecodeSlice, GoesOnWithoutAnEndpointWhoseAddressIsBad) {
  std::vector<std::string> left_out;
  auto object = DecodeObject(Kind::kEndpointSlice,
                             SliceJson(R"("addressType":"IPv4","endpoints":[{"addresses":["fd00::1"]},
                                {"addresses":["10.0.0.1"]},{"addresses":["127.0.0.1"]},{"addresses":"10.0.0.2"}])"),
                             &left_out);
  ASSERT_TRUE(object);
  EXPECT_THAT(std::get<EndpointSlice>(*object).endpoints, SizeIs(1));
  EXPECT_THAT(
      left_out,
      ElementsAre("EndpointSlice shop/cart-1: endpoints[0].addresses[0]: expected an IPv4 address, as "
                  "addressType says, got \"fd00::1\"",
                  HasSubstr("endpoints[2].addresses[0]: expected a unicast address"),
                  HasSubstr("endpoints[3].addresses: expected an array, got \"10.0.0.2\"")));
}

TEST(DecodeSlice, SaysThousandsOfBadEndpointsInAFewLines) {
  std::string endpoints;
  for (int i = 0; i < 1000; ++i) endpoints += R"({"addresses":["x"]},)";
  endpoints.pop_back();
  std::vector<std::string> left_out;
  ASSERT_TRUE(DecodeObject(Kind::kEndpointSlice,
                           SliceJson(R"("addressType":"IPv4","endpoints":[)" + endpoints + "]"), &left_out));
  ASSERT_THAT(left_out, SizeIs(8));
  EXPECT_THAT(left_out.back(), HasSubstr("(and 992 more like it)"));
}

TEST(DecodeSlice, TakesABadTriggerTimeForNone) {
  for (const char* time :
       {"yesterday", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:00", "2026-01-01T00:00:00.Z", "9999-01-01T00:00:00Z", "2026-01-01T00:00:00Zz"}) {
    std::vector<std::string> left_out;
    auto object = DecodeObject(Kind::kEndpointSlice,
                               std::string(R"({"metadata":{"name":"a","namespace":"b","annotations":
        {"endpoints.kubernetes.io/last-change-trigger-time":")") +
                                   time + R"("}},"addressType":"IPv4"})",
                               &left_out);
    ASSERT_TRUE(object) << time;
    EXPECT_EQ(std::get<EndpointSlice>(*object).trigger_time_ns, 0) << time;
    EXPECT_THAT(left_out, ElementsAre(HasSubstr("expected an RFC 3339 time"))) << time;
  }
}

class DecodeSliceFault : public testing::TestWithParam<BadCase> {};
TEST_P(DecodeSliceFault, NamesObjectFieldAndExpectation) {
  EXPECT_EQ(ErrorOf(Kind::kEndpointSlice, GetParam().json), GetParam().message);
}
INSTANTIATE_TEST_SUITE_P(
    Table, DecodeSliceFault,
    testing::Values(
        BadCase{SliceJson(R"("endpoints":[])"),
                "EndpointSlice shop/cart-1: addressType: expected IPv4 or IPv6 or FQDN, got nothing"},
        BadCase{SliceJson(R"("addressType":"IPv5")"),
                "EndpointSlice shop/cart-1: addressType: expected IPv4 or IPv6 or FQDN, got \"IPv5\""},
        BadCase{SliceJson(R"("addressType":"IPv4","ports":[{"name":"a","port":65536}])"),
                "EndpointSlice shop/cart-1: ports[0].port: expected 0-65535, got 65536"},
        BadCase{
            SliceJson(
                R"("addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"],"conditions":{"ready":"yes"}}])"),
            "EndpointSlice shop/cart-1: endpoints[0].conditions.ready: expected true or false, got \"yes\""},
        BadCase{
            SliceJson(
                R"("addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"],"hints":{"forZones":[{"name":3}]}}])"),
            "EndpointSlice shop/cart-1: endpoints[0].hints.forZones[0].name: expected a string, got 3"}));

TEST(DecodeNode, ReadsZoneAddressesPodCidrsAndHealthFacts) {
  auto node = Decode<Node>(R"({"metadata":{"name":"n1","labels":{"topology.kubernetes.io/zone":"z1"},
      "deletionTimestamp":"2026-11-21T09:13:37Z"},
      "spec":{"podCIDR":"10.244.9.0/24","podCIDRs":["10.244.1.0/24","fd00:1::/64"],
              "taints":[{"key":"a"},{"key":"ToBeDeletedByClusterAutoscaler","effect":"NoSchedule"}]},
      "status":{"addresses":[{"type":"Hostname","address":"n1"},{"type":"InternalIP","address":"10.250.0.2"},
                             {"type":"ExternalIP","address":"203.0.113.1"},{"type":"InternalIP","address":"fd00::2"}]}})");
  EXPECT_EQ(node.name.ToString(), "n1");
  EXPECT_EQ(node.zone, "z1");
  EXPECT_THAT(node.internal_ips, ElementsAre(Ip("10.250.0.2"), Ip("fd00::2")));
  EXPECT_THAT(node.pod_cidrs, ElementsAre(Net("10.244.1.0/24"), Net("fd00:1::/64")));
  EXPECT_TRUE(node.being_deleted);
  EXPECT_TRUE(node.to_be_deleted_taint);

  auto plain = Decode<Node>(R"({"metadata":{"name":"n1"},"spec":{"podCIDR":"10.244.9.0/24"}})");
  EXPECT_THAT(plain.pod_cidrs, ElementsAre(Net("10.244.9.0/24")));
  EXPECT_FALSE(plain.being_deleted);
  EXPECT_FALSE(plain.to_be_deleted_taint);
}

TEST(DecodeServiceCidr, ReadsItsPrefixesAndRefusesABadOne) {
  auto cidr = Decode<ServiceCidr>(
      R"({"metadata":{"name":"kubernetes"},"spec":{"cidrs":["10.96.0.0/12","fd00::/108"]}})");
  EXPECT_THAT(cidr.cidrs, ElementsAre(Net("10.96.0.0/12"), Net("fd00::/108")));
  EXPECT_EQ(ErrorOf(Kind::kServiceCidr, R"({"metadata":{"name":"x"},"spec":{"cidrs":["10.96.0.0"]}})"),
            "ServiceCIDR x: spec.cidrs[0]: expected a CIDR such as 10.0.0.0/8, got \"10.96.0.0\"");
}

TEST(DecodeList, LosesOnlyTheBadItem) {
  auto page = DecodeList(Kind::kService, R"({"kind":"ServiceList","apiVersion":"v1",
      "metadata":{"resourceVersion":"7","continue":"abc"},"items":[
      {"metadata":{"name":"a","namespace":"x"}}, {"metadata":{"name":"b","namespace":"x"},"spec":{"type":3}},
      {"metadata":{}}, {"metadata":{"name":"c",},}, "d", {"metadata":{"name":"e","namespace":"x"},
      "spec":{"externalIPs":["?"]}}]})");
  ASSERT_TRUE(page) << page.error().message;
  EXPECT_EQ(page->resource_version, "7");
  EXPECT_EQ(page->continue_token, "abc");
  ASSERT_THAT(page->objects, SizeIs(2));
  EXPECT_EQ(NameOf(page->objects[0]).ToString(), "x/a");
  EXPECT_EQ(NameOf(page->objects[1]).ToString(), "x/e");
  std::vector<std::string> messages;
  for (const Problem& problem : page->problems) messages.push_back(problem.message);
  EXPECT_THAT(messages, ElementsAre(HasSubstr("Service x/b: spec.type: expected a string, got 3"),
                                    HasSubstr("items[2]: Service: metadata.name"),
                                    HasSubstr("items[3]: Service: not valid JSON"),
                                    HasSubstr("items[4]: Service: expected an object, got \"d\""),
                                    HasSubstr("Service x/e: spec.externalIPs[0]")));
}

TEST(DecodeList, IsEmptyWithNoItemsOrNullItems) {
  for (const char* items : {"[]", "[ ]", "null"}) {
    auto page = DecodeList(Kind::kNode, std::string(R"({"kind":"NodeList","items":)") + items +
                                            R"(,"metadata":{"resourceVersion":"7"}})");
    ASSERT_TRUE(page) << items << page.error().message;
    EXPECT_THAT(page->objects, IsEmpty());
    EXPECT_EQ(page->resource_version, "7");
  }
}

TEST(DecodeList, IsRefusedAsAWholeWhenItIsNoListOfTheKind) {
  for (const char* json :
       {R"({"kind":"ServiceList","items":[]})", R"({"kind":"NodeList"})", R"({"kind":"NodeList","items":{}})",
        R"({"items":[]})", R"({"kind":"Status","code":410})", R"({"kind":"NodeList","items":[{"a":1})",
        R"({"kind":"NodeList","items":[{}},{}]})", R"({"kind":"NodeList","items":[],"items":[]})",
        R"({"kind":"NodeList","it\u0065ms":[{"metadata":{"name":"a"}}]})",
        R"({"kind":"NodeList","items":[{} {}]})", R"({"kind":"NodeList","items":[],"apiVersion":"v2"})",
        R"({"kind":"NodeList","items":[{},]})", "[]", "", "{"}) {
    auto page = DecodeList(Kind::kNode, json);
    ASSERT_FALSE(page) << json;
    EXPECT_EQ(page.error().kind, ErrorKind::kInvalid) << json;
  }
}

TEST(DecodeWatchEvent, ReadsEachType) {
  auto added = DecodeWatchEvent(
      Kind::kNode, R"({"type":"ADDED","object":{"metadata":{"name":"n","resourceVersion":"5"}}})", nullptr);
  ASSERT_TRUE(added);
  EXPECT_EQ(added->type, WatchEvent::Type::kAdded);
  EXPECT_EQ(added->resource_version, "5");
  EXPECT_EQ(NameOf(added->object).name, "n");

  auto bookmark = DecodeWatchEvent(Kind::kNode, R"({"type":"BOOKMARK","object":{"kind":"Node","metadata":
      {"resourceVersion":"6","annotations":{"k8s.io/initial-events-end":"true"}}}})",
                                   nullptr);
  ASSERT_TRUE(bookmark);
  EXPECT_EQ(bookmark->type, WatchEvent::Type::kBookmark);
  EXPECT_EQ(bookmark->resource_version, "6");
  EXPECT_TRUE(bookmark->initial_events_end);

  auto error = DecodeWatchEvent(Kind::kNode, R"({"type":"ERROR","object":{"kind":"Status","code":410,
      "message":"too old","reason":"Expired"}})",
                                nullptr);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->type, WatchEvent::Type::kError);
  EXPECT_EQ(error->code, 410);
  EXPECT_EQ(error->message, "too old");
}

TEST(DecodeWatchEvent, NeedsOnlyTheNameOfADeletedObject) {
  auto deleted = DecodeWatchEvent(
      Kind::kService,
      R"({"type":"DELETED","object":{"metadata":{"name":"a","namespace":"b","resourceVersion":"9"},"spec":{"type":7}}})",
      nullptr);
  ASSERT_TRUE(deleted) << deleted.error().message;
  EXPECT_EQ(NameOf(deleted->object).ToString(), "b/a");
  EXPECT_EQ(KindOf(deleted->object), Kind::kService);
  EXPECT_EQ(deleted->resource_version, "9");
}

TEST(DecodeWatchEvent, NamesABadObjectSoThatTheWatchCanGoOn) {
  BadObject bad;
  auto event = DecodeWatchEvent(
      Kind::kService,
      R"({"type":"MODIFIED","object":{"metadata":{"name":"a","namespace":"b","resourceVersion":"9"},"spec":{"type":7}}})",
      &bad);
  ASSERT_FALSE(event);
  EXPECT_EQ(event.error().message, "Service b/a: spec.type: expected a string, got 7");
  EXPECT_EQ(bad.name.ToString(), "b/a");
  EXPECT_EQ(bad.resource_version, "9");
}

TEST(DecodeWatchEvent, RefusesAFrameThatIsNoEvent) {
  for (const char* json : {R"({"type":"CHANGED","object":{}})", R"({"object":{}})", R"({"type":"ADDED"})",
                           R"({"type":"ADDED","object":[]})", R"({"type":1,"object":{}})", "[]", "{", ""}) {
    BadObject bad;
    EXPECT_FALSE(DecodeWatchEvent(Kind::kService, json, &bad)) << json;
    EXPECT_EQ(bad.name.name, "");
  }
}

TEST(DecodeStatus, IsCodeZeroForWhatIsNoStatus) {
  for (const char* json : {"", "404 page not found", "{}", R"({"kind":"Service","code":3})", "[]",
                           R"({"kind":"Status","code":"x"})"}) {
    EXPECT_EQ(DecodeStatus(json).code, 0) << json;
  }
}

}  // namespace
}  // namespace fairlead::kube
