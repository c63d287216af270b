// SPDX-License-Identifier: Apache-2.0
// One reflector, of Services, against scripted and recorded replies: what it asks, delivers and reports.
#include "agent/kube/reflector.h"

#include "test/support/objects.h"
#include "test/unit/kube/api_fixture.h"

namespace fairlead::test {
namespace {

using std::chrono_literals::operator""ms;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Names = std::set<std::string>;
using End = Reply::End;

std::string Item(const std::string& name, int version) {
  std::string json = Minified(Service(name).ClusterIp("172.30.0.10").Port("http", 80).ToJson());
  return json.replace(json.find("\"metadata\":{"), 12,
                      fmt::format("\"metadata\":{{\"resourceVersion\":\"{}\",", version));
}

Reply List(const std::vector<std::string>& items, int version, const std::string& continue_token = "") {
  return Reply::Json(
      200, fmt::format(R"({{"kind":"ServiceList","apiVersion":"v1","metadata":{{"resourceVersion":"{}",)"
                       R"("continue":"{}"}},"items":[{}]}})",
                       version, continue_token, fmt::join(items, ",")));
}

std::string Event(const std::string& type, const std::string& object) {
  return fmt::format(R"({{"type":"{}","object":{}}})", type, object);
}
std::string Added(const std::string& name, int version) {
  return Event("ADDED", Item(name, version));
}
std::string Deleted(const std::string& name, int version) {
  return Event("DELETED", Item(name, version));
}
std::string Bookmark(int version, bool initial_end = false) {
  return Event(
      "BOOKMARK",
      fmt::format(R"({{"kind":"Service","apiVersion":"v1","metadata":{{"resourceVersion":"{}"{}}}}})",
                  version, initial_end ? R"(,"annotations":{"k8s.io/initial-events-end":"true"})" : ""));
}
std::string Error(int code, const std::string& message) {
  return Event("ERROR", fmt::format(R"({{"kind":"Status","status":"Failure","message":"{}","code":{}}})",
                                    message, code));
}
Reply Silence(std::vector<std::string> frames = {}) {
  return Reply::Watch(frames, End::kSilence);
}

class ReflectorTest : public ::testing::Test {
 protected:
  void Play(Reply reply) { server.Play(kServicesPath, std::move(reply)); }

  void Start() {
    kube::ApiAccess access;
    access.server = server.Url();
    access.ca.data = server.authority().Pem();
    access.user = "user \"agent\"";
    client = kube::HttpClient::Create(std::move(access)).value();
    link = std::make_unique<kube::ServerLink>(*client, options.watch_list);
    kube::Resource resource = kube::WatchedResources("n1")[0];
    resource.optional = optional;
    reflector = std::make_unique<kube::Reflector>(resource, options, *link, sink);
  }
  void TearDown() override {
    if (reflector) reflector->RequestStop();
    if (client) client->Stop();
    reflector.reset();
  }

  // The request number `index`; waits for it.
  Request Asked(size_t index) {
    EXPECT_TRUE(server.WaitForRequests(kServicesPath, index + 1)) << "request " << index << " never came";
    const auto requests = server.Requests(kServicesPath);
    return index < requests.size() ? requests[index] : Request{};
  }

  ApiServer server;
  FakeSink sink;
  kube::ApiOptions options = FastOptions();
  bool optional = false;
  std::unique_ptr<kube::HttpClient> client;
  std::unique_ptr<kube::ServerLink> link;
  std::unique_ptr<kube::Reflector> reflector;
};

// Without WatchList: list, then watch.
class ListTest : public ReflectorTest {
 protected:
  ListTest() { options.watch_list = false; }
};

TEST_F(ReflectorTest, AWatchListDeliversTheWholeStateOnceThenChanges) {
  Play(Silence({Added("shop/a", 5), Added("shop/b", 6), Bookmark(9, true), Added("shop/c", 10),
                Deleted("shop/a", 11)}));
  Start();
  ASSERT_TRUE(sink.WaitForNames(Kind::kService, {"shop/b", "shop/c"}));
  const auto updates = sink.Updates();
  ASSERT_EQ(updates.size(), 3u);
  EXPECT_EQ(updates[0].type, Update::Type::kReplace);
  EXPECT_EQ(updates[0].objects.size(), 2u);
  EXPECT_EQ(updates[1].type, Update::Type::kUpsert);
  EXPECT_EQ(updates[2].type, Update::Type::kDelete);
  EXPECT_EQ(updates[2].name.ToString(), "shop/a");
  const Request asked = Asked(0);
  EXPECT_EQ(asked.Query("sendInitialEvents"), "true");
  EXPECT_EQ(asked.Query("resourceVersionMatch"), "NotOlderThan");
  EXPECT_EQ(asked.Query("allowWatchBookmarks"), "true");
  EXPECT_EQ(asked.Query("labelSelector"), "!service.kubernetes.io/service-proxy-name");
  EXPECT_EQ(asked.Header("user-agent"), "fairlead/" FAIRLEAD_VERSION);
}

TEST_F(ReflectorTest, AWatchListThatBreaksEarlyDeliversNothing) {
  Play(Reply::Watch({Added("shop/a", 5)}, End::kBreak));
  Play(Silence({Added("shop/b", 5), Bookmark(6, true)}));
  Start();
  ASSERT_TRUE(sink.WaitForReplaces(Kind::kService, 1));
  EXPECT_EQ(sink.Names(Kind::kService), Names{"shop/b"});
}

TEST_F(ReflectorTest, AServerWithoutWatchListIsListedForGood) {
  Play(Reply::Recorded("watchlist-bad"));
  Play(List({Item("shop/a", 5)}, 7));
  Play(Reply::Watch({Error(410, "too old")}));
  Play(List({Item("shop/b", 8)}, 9));
  Start();
  ASSERT_TRUE(sink.WaitForReplaces(Kind::kService, 2));
  EXPECT_EQ(sink.Names(Kind::kService), Names{"shop/b"});
  EXPECT_EQ(Asked(0).Query("sendInitialEvents"), "true");
  EXPECT_EQ(Asked(1).Query("watch"), "");
  EXPECT_EQ(Asked(3).Query("watch"), "");
  EXPECT_FALSE(link->watch_list);
  EXPECT_THAT(sink.Problems(), ElementsAre());
}

TEST_F(ReflectorTest, AWatchListThatNeverCompletesIsGivenUpForLists) {
  Play(Reply::Watch({Added("shop/a", 5)}));
  Play(Reply::Watch({Added("shop/a", 5)}));
  Play(List({Item("shop/a", 5)}, 7));
  Start();
  ASSERT_TRUE(sink.WaitForNames(Kind::kService, {"shop/a"}));
  EXPECT_EQ(Asked(2).Query("watch"), "");
}

TEST_F(ListTest, PagesArePutTogetherAndTheWatchStartsAtTheirVersion) {
  options.page_size = 2;
  Play(List({Item("shop/a", 1), Item("shop/b", 2)}, 7, "to ken"));
  Play(List({Item("shop/c", 3)}, 7));
  Play(Silence());
  Start();
  ASSERT_TRUE(sink.WaitForReplaces(Kind::kService, 1));
  EXPECT_EQ(sink.Names(Kind::kService), (Names{"shop/a", "shop/b", "shop/c"}));
  EXPECT_EQ(Asked(0).Query("limit"), "2");
  EXPECT_EQ(Asked(0).Query("resourceVersion"), "");
  EXPECT_EQ(Asked(0).Header("accept-encoding"), "gzip");
  EXPECT_EQ(Asked(1).Query("continue"), "to ken");
  EXPECT_EQ(Asked(2).Query("resourceVersion"), "7");
  EXPECT_EQ(Asked(2).Header("accept-encoding"), "");
}

TEST_F(ListTest, PagesThatExpireAreReadAgainInOnePiece) {
  Play(List({Item("shop/gone", 1)}, 7, "token"));
  Play(Reply::Recorded("list-continue-410"));
  Play(List({Item("shop/a", 1)}, 8));
  Start();
  ASSERT_TRUE(sink.WaitForNames(Kind::kService, {"shop/a"}));
  EXPECT_EQ(Asked(2).Query("limit"), "");
  EXPECT_EQ(Asked(2).Query("continue"), "");
}

TEST_F(ListTest, ARecordedGzipListIsRead) {
  Play(Reply::Recorded("list-services-gzip"));
  Start();
  ASSERT_TRUE(sink.WaitForReplaces(Kind::kService, 1));
  EXPECT_THAT(sink.Names(Kind::kService), Contains("default/rec-1"));
}

TEST_F(ListTest, ACompressedListCutShortIsNotTaken) {
  const std::string packed =
      Gzip("{\"kind\":\"ServiceList\",\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[]}");
  Play(Reply::Json(200, packed.substr(0, packed.size() - 6), "Content-Encoding: gzip\r\n"));
  Play(Reply::Json(200, "no gzip at all", "Content-Encoding: gzip\r\n"));
  Play(Reply::Json(200, packed, "Content-Encoding: gzip\r\n"));
  Start();
  ASSERT_TRUE(sink.WaitForReplaces(Kind::kService, 1));
  EXPECT_THAT(sink.Problems(),
              ElementsAre(HasSubstr("gzip body ends early"), HasSubstr("damaged gzip body")));
}

TEST_F(ListTest, RecordedWatchesOfARealServerAreFollowed) {
  Play(Reply::Recorded("list-services"));
  Play(Reply::Recorded("watch-services"));
  Play(Silence());
  Start();
  ASSERT_TRUE(server.WaitForRequests(kServicesPath, 3));
  EXPECT_EQ(Asked(1).Query("resourceVersion"), "301");
  EXPECT_GT(std::stoi(Asked(2).Query("resourceVersion")), 301);
  EXPECT_GE(sink.Updates().size(), 4u);
  EXPECT_THAT(sink.Problems(), ElementsAre());
}

TEST_F(ReflectorTest, ARecordedWatchListOfARealServerIsFollowed) {
  Play(Reply::Recorded("watchlist-services"));
  Play(Silence());
  Start();
  EXPECT_EQ(Asked(1).Query("resourceVersion"), "316");
  EXPECT_EQ(sink.Replaces(Kind::kService), 1);
  EXPECT_THAT(sink.Names(Kind::kService), Contains("default/kubernetes"));
}

TEST_F(ListTest, AWatchThatEndsIsResumedFromTheLastEvent) {
  Play(List({}, 7));
  Play(Reply::Watch({Added("shop/a", 8)}));
  Play(Reply::Watch({Bookmark(20)}));
  Play(Silence());
  Start();
  EXPECT_EQ(Asked(2).Query("resourceVersion"), "8");
  EXPECT_EQ(Asked(3).Query("resourceVersion"), "20");
  EXPECT_EQ(sink.Replaces(Kind::kService), 1);
  EXPECT_THAT(sink.Problems(), ElementsAre());
}

TEST_F(ListTest, AConnectionThatBreaksIsResumedFromTheLastEvent) {
  Play(List({}, 7));
  Play(Reply::Watch({Added("shop/a", 8)}, End::kBreak));
  Play(Reply::Watch({Added("shop/b", 9)}, End::kReset));
  Play(Silence({Added("shop/c", 10)}));
  Start();
  ASSERT_TRUE(sink.WaitForNames(Kind::kService, {"shop/a", "shop/b", "shop/c"}));
  EXPECT_EQ(Asked(2).Query("resourceVersion"), "8");
  EXPECT_EQ(sink.Replaces(Kind::kService), 1);
}

TEST_F(ListTest, AChunkCutInTheMiddleLosesNothing) {
  Reply cut = Reply::Watch({Added("shop/a", 8), Added("shop/b", 9)}, End::kBreak);
  cut.parts.back().bytes.resize(cut.parts.back().bytes.size() / 2);
  Play(List({}, 7));
  Play(cut);
  Play(Silence({Added("shop/b", 9)}));
  Start();
  ASSERT_TRUE(sink.WaitForNames(Kind::kService, {"shop/a", "shop/b"}));
  EXPECT_EQ(Asked(2).Query("resourceVersion"), "8");
}

TEST_F(ListTest, HalfAnObjectAtAnOrderlyEndIsNotTaken) {
  const std::string half = Added("shop/b", 9).substr(0, 60);
  Play(List({}, 7));
  Play({{{WatchHead()}, {Chunk(Added("shop/a", 8) + "\n")}, {Chunk(half)}, {std::string(kLastChunk)}}});
  Play(Silence());
  Start();
  EXPECT_EQ(Asked(2).Query("resourceVersion"), "8");
  EXPECT_EQ(sink.Names(Kind::kService), Names{"shop/a"});
  EXPECT_TRUE(sink.WaitForProblem("the stream ended within an event"));
}

TEST_F(ListTest, AFrameThatIsNoJsonCostsTheConnectionOnly) {
  Play(List({}, 7));
  Play(Silence({Added("shop/a", 8), "<html>gateway</html>", Added("shop/lost", 9)}));
  Play(Silence({Added("shop/b", 9)}));
  Start();
  ASSERT_TRUE(sink.WaitForNames(Kind::kService, {"shop/a", "shop/b"}));
  EXPECT_EQ(Asked(2).Query("resourceVersion"), "8");
  EXPECT_EQ(sink.Problems().size(), 1u);
}

TEST_F(ListTest, AFrameThatCannotBeReadAgainAndAgainIsPassedByANewList) {
  Play(List({}, 7));
  Play(Silence({"rubbish"}));
  Play(Silence({"rubbish"}));
  Play(List({Item("shop/a", 9)}, 9));
  Start();
  ASSERT_TRUE(sink.WaitForNames(Kind::kService, {"shop/a"}));
  EXPECT_EQ(sink.Problems().size(), 1u);
}

TEST_F(ListTest, ABadObjectCostsThatObjectOnly) {
  std::string bad = Added("shop/bad", 8);
  bad.replace(bad.find("\"port\":80"), 9, "\"port\":70000");
  std::string wrong_type = Added("shop/wrong", 9);
  wrong_type.replace(wrong_type.find("\"port\":80"), 9, "\"port\":[80]");
  Play(List({}, 7));
  Play(Silence({bad, bad, wrong_type, Added("shop/a", 10)}));
  Start();
  ASSERT_TRUE(sink.WaitForNames(Kind::kService, {"shop/a"}));
  EXPECT_THAT(sink.Problems(),
              ElementsAre(AllOf(HasSubstr("services watch"), HasSubstr("shop/bad"), HasSubstr("70000")),
                          HasSubstr("shop/wrong")));
  EXPECT_EQ(server.Requests(kServicesPath).size(), 2u);
}

TEST_F(ListTest, AVersionAfterABadObjectIsResumedFrom) {
  std::string bad = Added("shop/bad", 8);
  bad.replace(bad.find("\"port\":80"), 9, "\"port\":70000");
  Play(List({}, 7));
  Play(Reply::Watch({bad}));
  Play(Silence());
  Start();
  EXPECT_EQ(Asked(2).Query("resourceVersion"), "8");
}

TEST_F(ListTest, ABadItemOfAListCostsThatItemOnly) {
  std::string bad = Item("shop/bad", 8);
  bad.replace(bad.find("\"port\":80"), 9, "\"port\":70000");
  Play(List({bad, Item("shop/a", 3)}, 7));
  Play(Reply::Watch({Error(410, "too old")}));
  Play(List({bad, Item("shop/a", 3)}, 8));
  Start();
  ASSERT_TRUE(sink.WaitForReplaces(Kind::kService, 2));
  EXPECT_EQ(sink.Names(Kind::kService), Names{"shop/a"});
  EXPECT_EQ(sink.Problems().size(), 1u);
}

TEST_F(ListTest, AnEventLargerThanTheLimitBreaksTheWatch) {
  options.max_frame_bytes = 2000;
  Play(List({}, 7));
  Play(Silence({Added("shop/a", 8), std::string(4000, 'x')}));
  Play(Silence({Added("shop/b", 9)}));
  Start();
  ASSERT_TRUE(sink.WaitForNames(Kind::kService, {"shop/a", "shop/b"}));
  EXPECT_THAT(sink.Problems(), ElementsAre(HasSubstr("an event is larger than 2000 bytes")));
}

TEST_F(ListTest, AnEventInManyChunksArrivesWhole) {
  Play(List({}, 7));
  Reply reply{{{WatchHead()}}, End::kSilence};
  for (const char c : Added("shop/a", 8) + "\n") reply.parts.push_back({Chunk(std::string_view(&c, 1))});
  Play(reply);
  Start();
  EXPECT_TRUE(sink.WaitForNames(Kind::kService, {"shop/a"}));
}

TEST_F(ListTest, AnEventMayTakeLongerThanTheIdleTimeout) {
  options.idle_timeout = 300ms;
  const std::string event = Added("shop/a", 8) + "\n";
  Reply reply{{{WatchHead()}}, End::kSilence};
  for (size_t at = 0; at < event.size(); at += 20) reply.parts.push_back({Chunk(event.substr(at, 20)), 25ms});
  Play(List({}, 7));
  Play(reply);
  Start();
  const auto start = std::chrono::steady_clock::now();
  ASSERT_TRUE(sink.WaitForNames(Kind::kService, {"shop/a"}));
  EXPECT_GT(std::chrono::steady_clock::now() - start, 300ms);
  EXPECT_THAT(sink.Problems(), ElementsAre());
}

TEST_F(ReflectorTest, SlowBytesAcrossAllBoundariesArriveWhole) {
  Play(Reply::Recorded("watchlist-services").Slowly(97, 1ms));
  Play(Silence());
  Start();
  EXPECT_EQ(Asked(1).Query("resourceVersion"), "316");
  EXPECT_THAT(sink.Names(Kind::kService), Contains("default/kubernetes"));
  EXPECT_THAT(sink.Problems(), ElementsAre());
}

TEST_F(ListTest, AGoneVersionInAnEventKeepsTheOldStateUntilTheNewListIsComplete) {
  Play(List({Item("shop/a", 1)}, 7));
  Play(Reply::Recorded("watch-gone-rv1"));
  Play(Reply::Status(500, "InternalError", "etcd is away"));
  Play(List({Item("shop/b", 9)}, 10));
  Start();
  ASSERT_TRUE(sink.WaitForReplaces(Kind::kService, 2));
  EXPECT_EQ(sink.Names(Kind::kService), Names{"shop/b"});
  const auto updates = sink.Updates();
  ASSERT_EQ(updates.size(), 2u);
  EXPECT_EQ(updates[1].type, Update::Type::kReplace);
  EXPECT_THAT(sink.Problems(), ElementsAre(HasSubstr("etcd is away")));
}

TEST_F(ListTest, AGoneVersionAsStatusIsListedAgain) {
  Play(List({Item("shop/a", 1)}, 7));
  Play(Reply::Recorded("list-exact-410"));
  Play(List({Item("shop/b", 9)}, 10));
  Start();
  ASSERT_TRUE(sink.WaitForReplaces(Kind::kService, 2));
  EXPECT_EQ(sink.Names(Kind::kService), Names{"shop/b"});
}

TEST_F(ListTest, AVersionTooLargeForTheServerIsListedAgain) {
  Play(List({Item("shop/a", 1)}, 7));
  Play(Reply::Status(504, "Timeout", "Timeout: Too large resource version: 7, current: 3"));
  Play(List({Item("shop/b", 2)}, 3));
  Start();
  ASSERT_TRUE(sink.WaitForReplaces(Kind::kService, 2));
  EXPECT_EQ(sink.Names(Kind::kService), Names{"shop/b"});
}

TEST_F(ListTest, AFutureVersionShowsAsEmptyWatchesAndIsListedAgain) {
  Play(List({Item("shop/a", 1)}, 7));
  Play(Reply::Recorded("watch-future-rv"));
  Play(Reply::Recorded("watch-future-rv"));
  Play(List({Item("shop/b", 2)}, 3));
  Start();
  ASSERT_TRUE(sink.WaitForReplaces(Kind::kService, 2));
  EXPECT_EQ(sink.Names(Kind::kService), Names{"shop/b"});
}

TEST_F(ListTest, AnIdleWatchIsTakenForDeadAndResumed) {
  options.idle_timeout = 200ms;
  Play(List({}, 7));
  Play(Silence({Added("shop/a", 8)}));
  Play(Silence({Added("shop/b", 9)}));
  Start();
  ASSERT_TRUE(sink.WaitForNames(Kind::kService, {"shop/a", "shop/b"}));
  EXPECT_EQ(Asked(2).Query("resourceVersion"), "8");
  EXPECT_TRUE(sink.WaitForProblem("nothing came for 20"));
}

TEST_F(ListTest, TooManyRequestsWaitsAsLongAsTheServerAsks) {
  Play(Reply::Status(429, "TooManyRequests", "slow down", "Retry-After: 1\r\n"));
  Play(List({}, 7));
  Start();
  const auto start = std::chrono::steady_clock::now();
  ASSERT_TRUE(sink.WaitForReplaces(Kind::kService, 1));
  EXPECT_GE(std::chrono::steady_clock::now() - start, 1000ms);
  EXPECT_THAT(sink.Problems(), ElementsAre(HasSubstr("cannot list services: 429: slow down")));
}

TEST_F(ListTest, AProblemIsSaidOnceUntilItIsOver) {
  for (int i = 0; i < 6; ++i) Play(Reply::Status(500, "InternalError", "etcd is away"));
  Play(List({}, 7));
  Play(Reply::Status(500, "InternalError", "etcd is away"));
  Play(Reply::Watch({Bookmark(8)}));
  Play(Reply::Status(500, "InternalError", "etcd is away"));
  Play(Silence());
  Start();
  ASSERT_TRUE(server.WaitForRequests(kServicesPath, 11));
  EXPECT_THAT(sink.Problems(), ElementsAre(HasSubstr("cannot list services: 500: etcd is away"),
                                           HasSubstr("cannot watch services: 500: etcd is away"),
                                           HasSubstr("cannot watch services: 500: etcd is away")));
}

TEST_F(ListTest, AForbiddenListNamesVerbResourceAndUser) {
  Play(Reply::Recorded("err-403-nobody"));
  Start();
  ASSERT_TRUE(sink.WaitForReplaces(Kind::kService, 1));
  EXPECT_THAT(sink.Problems(),
              ElementsAre(AllOf(HasSubstr("services list"), HasSubstr("cannot list services: 403"),
                                HasSubstr("User \"nobody-user\" cannot list"))));
}

TEST_F(ListTest, AMissingResourceIsAProblemButNotForAnOptionalOne) {
  Play(Reply::Recorded("err-404-resource"));
  Start();
  ASSERT_TRUE(sink.WaitForReplaces(Kind::kService, 1));
  EXPECT_THAT(sink.Problems(), ElementsAre(HasSubstr("cannot list services: 404")));
}

TEST_F(ListTest, AnOptionalResourceThatIsMissingIsEmptyUntilItAppears) {
  optional = true;
  Play(Reply::Recorded("err-404-resource"));
  Play(Reply::Recorded("err-404-resource"));
  Play(List({Item("shop/a", 5)}, 7));
  Start();
  ASSERT_TRUE(sink.WaitForNames(Kind::kService, {"shop/a"}));
  const auto updates = sink.Updates();
  ASSERT_EQ(updates.size(), 2u);
  EXPECT_EQ(updates[0].type, Update::Type::kReplace);
  EXPECT_TRUE(updates[0].objects.empty());
  EXPECT_THAT(sink.Problems(), ElementsAre());
}

TEST_F(ListTest, AnOptionalResourceThatIsForbiddenIsEmptyAndReported) {
  optional = true;
  Play(Reply::Recorded("err-403"));
  Start();
  ASSERT_TRUE(sink.WaitForReplaces(Kind::kService, 1));
  EXPECT_THAT(sink.Problems(), ElementsAre(HasSubstr("cannot list services: 403")));
}

TEST_F(ListTest, ABodyThatIsNoListIsRefusedAndAskedForAgain) {
  Play(Reply::Json(200, "<html>"));
  Play(List({Item("shop/a", 5)}, 7));
  Start();
  ASSERT_TRUE(sink.WaitForNames(Kind::kService, {"shop/a"}));
  EXPECT_EQ(sink.Problems().size(), 1u);
}

TEST_F(ListTest, ARedirectIsNotFollowed) {
  Play(Reply::Json(302, "", "Location: https://127.0.0.1:1/\r\n"));
  Play(List({}, 7));
  Start();
  ASSERT_TRUE(sink.WaitForReplaces(Kind::kService, 1));
  EXPECT_THAT(sink.Problems(), ElementsAre(HasSubstr("302")));
}

TEST_F(ListTest, ReceivedIsWhenTheEventsLastByteCame) {
  Play(List({}, 7));
  Reply reply = Silence({Added("shop/a", 8)});
  reply.parts[1].before = 100ms;
  Play(reply);
  Start();
  ASSERT_TRUE(sink.WaitForNames(Kind::kService, {"shop/a"}));
  const auto updates = sink.Updates();
  EXPECT_GE(updates[1].received - updates[0].received, 90ms);
  EXPECT_LE(updates[1].received, std::chrono::steady_clock::now());
}

}  // namespace
}  // namespace fairlead::test
