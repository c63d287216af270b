// SPDX-License-Identifier: Apache-2.0
// Kubernetes objects in one line, as the agent's structs and as the API's JSON.
//
//   Service("shop/cart").ClusterIp("172.30.0.10").Port("http", 80, 8080).NodePort(30001)
//   Slice("shop/cart").Port("http", 8080).Endpoint("10.180.1.11").On("n1").Endpoint("10.180.2.11").On("n2")
//   NodeObject("n1").Zone("a").InternalIp("192.168.99.11")
//
// One plan of addresses for every test:
//
//   nodes        n1 n2 n3 (n1 is the one under test)     192.168.99.11-13     fd00:192:168:99::11-13
//   pods of nN   clients .100, backends from .11         10.180.N.0/24        fd00:10:180:N::/64
//   cluster IPs                                          172.30.0.0/16        fd00:172:30::/112
//   outside      clients, in and out of source ranges    203.0.113.2, .130    fd00:203:0:113::2,
//   fd00:203:0:114::2 LB addresses                                         198.51.100.4 .8 .12
//   fd00:198:51:100::4 external IPs                                         198.51.100.22 .33
//   fd00:198:51:100::22 NodePorts    30001-30099; health check node ports 32001-32011
//
// An address that does not parse aborts: it is a mistake in the test.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/kube/objects.h"

namespace fairlead::test {

using kube::Protocol;

Address Addr(std::string_view text);
Cidr Range(std::string_view text);
kube::ObjectName Name(std::string_view text);  // "ns/name", or "name" without a namespace

class Service {
 public:
  explicit Service(std::string_view name);  // type ClusterIP, without cluster IP until one is given

  Service& ClusterIp(std::string_view address);  // twice for two families
  // `target` appears in the JSON only: the agent goes by the slices. 0: the same as `port`.
  Service& Port(std::string_view name, uint16_t port, uint16_t target = 0);
  Service& Udp();                    // protocol of the last port
  Service& Sctp();                   // protocol of the last port
  Service& NodePort(uint16_t port);  // of the last port; type NodePort unless it is LoadBalancer
  Service& ExternalIp(std::string_view address);
  Service& LoadBalancerIp(std::string_view address);  // in status; type LoadBalancer
  Service& LoadBalancer();                            // the type, no address yet
  Service& SourceRange(std::string_view cidr);
  Service& InternalLocal(bool local = true);
  Service& ExternalLocal(bool local = true);
  Service& Affinity(uint32_t timeout_s = 10800);
  Service& HealthCheckNodePort(uint16_t port);
  Service& Setting(std::string_view name, std::string_view value);  // annotation fairlead.io/<name>
  Service& CreatedAt(int64_t unix_s);
  Service& Type(kube::ServiceType type);
  Service& OtherProxy(bool other = true);  // label service.kubernetes.io/service-proxy-name

  const kube::Service& Object() const { return object_; }
  operator kube::Object() const { return object_; }  // NOLINT: builders stand for their object
  std::string ToJson() const;

 private:
  kube::Service object_;
  std::vector<uint16_t> targets_;  // of object_.ports
};

class Slice {
 public:
  // Of the service; the slice's own name is "<service>-1". Family: that of the first endpoint, IPv4 without
  // one.
  explicit Slice(std::string_view service);

  Slice& Named(std::string_view name);  // without namespace
  Slice& Ipv6();
  Slice& Port(std::string_view name, uint16_t port);
  Slice& Udp();   // protocol of the last port
  Slice& Sctp();  // protocol of the last port

  Slice& Endpoint(std::string_view address);  // ready, serving, not terminating; the calls below are about it
  Slice& On(std::string_view node);
  Slice& Ready(bool ready = true);
  Slice& Serving(bool serving = true);
  Slice& Terminating(bool terminating = true);
  Slice& Zone(std::string_view zone);      // hints.forZones
  Slice& NodeHint(std::string_view node);  // hints.forNodes

  Slice& TriggerTime(int64_t unix_ns);
  Slice& Headless();
  Slice& Fqdn();
  Slice& OfNoService();

  const kube::EndpointSlice& Object() const { return object_; }
  operator kube::Object() const { return object_; }  // NOLINT: builders stand for their object
  std::string ToJson() const;

 private:
  kube::EndpointSlice object_;
};

class NodeObject {
 public:
  explicit NodeObject(std::string_view name);

  NodeObject& Zone(std::string_view zone);
  NodeObject& InternalIp(std::string_view address);
  NodeObject& PodCidr(std::string_view cidr);

  const kube::Node& Object() const { return object_; }
  operator kube::Object() const { return object_; }  // NOLINT: builders stand for their object
  std::string ToJson() const;

 private:
  kube::Node object_;
};

kube::Object ServiceCidrs(std::string_view name, std::vector<std::string_view> cidrs);

// What a source would deliver.
kube::Update Upsert(kube::Object object);
kube::Update Delete(kube::Kind kind, std::string_view name);
kube::Update Replace(kube::Kind kind, std::vector<kube::Object> objects);

}  // namespace fairlead::test
