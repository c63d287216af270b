// SPDX-License-Identifier: Apache-2.0
// The decoders against what a real API server sent (test/recordings).
#include <algorithm>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/kube/decode.h"

namespace fairlead::kube {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string Body(const std::string& name) {
  std::ifstream file(FAIRLEAD_SOURCE_DIR "/test/recordings/" + name + ".body");
  EXPECT_TRUE(file.good()) << name;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> Names(const ListPage& page) {
  std::vector<std::string> names;
  for (const Object& object : page.objects) names.push_back(NameOf(object).ToString());
  return names;
}

ListPage List(Kind kind, const std::string& name) {
  auto page = DecodeList(kind, Body(name));
  EXPECT_TRUE(page) << name << ": " << (page ? "" : page.error().message);
  if (!page) return {};
  EXPECT_THAT(page->problems, IsEmpty()) << name;
  return *std::move(page);
}

std::vector<WatchEvent> Events(Kind kind, const std::string& name) {
  std::vector<WatchEvent> events;
  std::stringstream lines(Body(name));
  for (std::string line; std::getline(lines, line);) {
    auto event = DecodeWatchEvent(kind, line, nullptr);
    EXPECT_TRUE(event) << name << ": " << (event ? "" : event.error().message);
    if (event) events.push_back(*std::move(event));
  }
  return events;
}

TEST(Recordings, ServicesListTheSamePlainPrettyAndFromTheCache) {
  ListPage plain = List(Kind::kService, "list-services");
  EXPECT_THAT(plain.objects, SizeIs(7));
  EXPECT_EQ(plain.resource_version, "301");
  EXPECT_EQ(plain.objects, List(Kind::kService, "list-services-pretty").objects);
  EXPECT_EQ(plain.objects, List(Kind::kService, "list-services-rv0").objects);
  for (const Object& object : plain.objects) {
    EXPECT_GT(std::get<Service>(object).creation_time_s, 1'795'000'000) << NameOf(object).ToString();
  }
}

TEST(Recordings, TheLoadBalancerHasItsStatusAddress) {
  for (const Object& object : List(Kind::kService, "list-services").objects) {
    const auto& service = std::get<Service>(object);
    if (service.type != ServiceType::kLoadBalancer) continue;
    EXPECT_THAT(service.load_balancer_ips, ElementsAre(*Address::Parse("10.251.0.50")));
    EXPECT_TRUE(service.external_local);
    EXPECT_NE(service.health_check_node_port, 0);
    return;
  }
  FAIL() << "no LoadBalancer in the list";
}

TEST(Recordings, PagesJoinIntoTheWholeList) {
  ListPage page1 = List(Kind::kService, "list-services-limit2-page1");
  EXPECT_THAT(page1.objects, SizeIs(2));
  EXPECT_NE(page1.continue_token, "");
  ListPage page2 = List(Kind::kService, "list-services-limit2-page2");
  std::vector<std::string> names = Names(page1);
  for (std::string& name : Names(page2)) names.push_back(std::move(name));
  std::vector<std::string> all = Names(List(Kind::kService, "list-services"));
  ASSERT_LE(names.size(), all.size());
  all.resize(names.size());
  EXPECT_EQ(names, all);
}

TEST(Recordings, SlicesNodesAndEmptyListsDecode) {
  ListPage slices = List(Kind::kEndpointSlice, "list-endpointslices");
  const EndpointSlice* rec = nullptr;
  for (const Object& object : slices.objects) {
    if (NameOf(object).name == "rec-1-abcde") rec = &std::get<EndpointSlice>(object);
  }
  ASSERT_NE(rec, nullptr);
  EXPECT_EQ(rec->service, "rec-1");
  ASSERT_THAT(rec->endpoints, SizeIs(2));
  EXPECT_TRUE(rec->endpoints[1].terminating);
  EXPECT_THAT(rec->endpoints[1].zone_hints, ElementsAre(Symbol("z1")));

  ListPage big = List(Kind::kEndpointSlice, "list-gzip");
  ASSERT_THAT(big.objects, SizeIs(16));
  EXPECT_THAT(std::get<EndpointSlice>(big.objects[0]).endpoints, SizeIs(100));

  ListPage nodes = List(Kind::kNode, "list-nodes");
  ASSERT_THAT(nodes.objects, SizeIs(1));
  EXPECT_EQ(std::get<Node>(nodes.objects[0]).zone, "z1");
  EXPECT_THAT(List(Kind::kEndpointSlice, "list-empty").objects, IsEmpty());
}

TEST(Recordings, OneServiceDecodesAlone) {
  auto object = DecodeObject(Kind::kService, Body("get-service"));
  ASSERT_TRUE(object) << object.error().message;
  EXPECT_THAT(std::get<Service>(*object).ports, SizeIs(2));
}

TEST(Recordings, WatchesDecodeEventByEvent) {
  std::vector<WatchEvent> events = Events(Kind::kService, "watch-services");
  std::vector<WatchEvent::Type> types;
  for (const WatchEvent& event : events) types.push_back(event.type);
  using Type = WatchEvent::Type;
  EXPECT_THAT(types, ElementsAre(Type::kAdded, Type::kModified, Type::kDeleted, Type::kBookmark));
  for (const WatchEvent& event : events) EXPECT_NE(event.resource_version, "");

  // One bookmark ends the initial events; the last one of the stream is an ordinary one.
  std::vector<WatchEvent> initial = Events(Kind::kService, "watchlist-services");
  EXPECT_EQ(std::count_if(initial.begin(), initial.end(), [](const auto& e) { return e.initial_events_end; }),
            1);
  EXPECT_TRUE(initial[7].initial_events_end);
  EXPECT_EQ(initial.back().type, Type::kBookmark);
  EXPECT_FALSE(initial.back().initial_events_end);
  EXPECT_THAT(Events(Kind::kEndpointSlice, "watchlist-bigevents"), SizeIs(17));
  EXPECT_FALSE(Events(Kind::kEndpointSlice, "watch-endpointslices").empty());
}

TEST(Recordings, GoneIsAnErrorEventWithItsCode) {
  for (const char* name : {"watch-gone-oldrv", "watch-gone-rv1"}) {
    std::vector<WatchEvent> events = Events(Kind::kService, name);
    ASSERT_THAT(events, SizeIs(1)) << name;
    EXPECT_EQ(events[0].type, WatchEvent::Type::kError);
    EXPECT_EQ(events[0].code, 410);
    EXPECT_THAT(events[0].message, HasSubstr("too old resource version"));
  }
}

TEST(Recordings, ErrorBodiesAreStatuses) {
  EXPECT_EQ(DecodeStatus(Body("err-401-badtoken")).code, 401);
  EXPECT_EQ(DecodeStatus(Body("err-403")).reason, "Forbidden");
  EXPECT_EQ(DecodeStatus(Body("err-404-path")).code, 0);
  Status gone = DecodeStatus(Body("list-continue-410"));
  EXPECT_EQ(gone.code, 410);
  EXPECT_NE(gone.continue_token, "");
  EXPECT_GT(DecodeStatus(Body("list-future-rv")).retry_after_s, 0);
  EXPECT_FALSE(DecodeList(Kind::kService, Body("list-continue-410")));
}

}  // namespace
}  // namespace fairlead::kube
