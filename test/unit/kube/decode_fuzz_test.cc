// SPDX-License-Identifier: Apache-2.0
// Hostile bytes: recordings, mutated at random from a fixed seed, through every decoder. Nothing may crash,
// and what is taken keeps the promises of objects.h. Run under the sanitizers for the full effect.
#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include <gtest/gtest.h>

#include "agent/kube/decode.h"
#include "agent/kube/manifests_pack.h"
#include "agent/kube/manifests_read.h"

namespace fairlead::kube {
namespace {

constexpr Kind kKinds[] = {Kind::kService, Kind::kEndpointSlice, Kind::kNode, Kind::kServiceCidr};

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds;
  std::set<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(FAIRLEAD_SOURCE_DIR "/test/recordings")) {
    if (entry.path().extension() == ".body" && entry.file_size() < 20'000) paths.insert(entry.path());
  }
  for (const auto& path : paths) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    seeds.push_back(text.str());
  }
  seeds.push_back(
      "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: b}\nspec:\n  ports:\n  - &p {port: 80}\n"
      "---\nkind: List\nitems:\n- kind: Node\n  apiVersion: v1\n  metadata:\n    name: \"n\"\n");
  return seeds;
}

class Mutator {
 public:
  std::string Mutate(std::string text, const std::string& other) {
    for (int changes = 1 + Below(6); changes > 0; --changes) One(text, other);
    return text;
  }
  int Below(size_t limit) { return static_cast<int>(random_() % std::max<size_t>(limit, 1)); }

 private:
  void One(std::string& text, const std::string& other) {
    static const std::string kTokens[] = {
        "null", "[]",   "{}",       "\"\"", "-1", "65536", "1e999", "[[[[[[",
        "}",    "\\u0", "\xc3\x28", ",",    "\n", "true",  "\"",    "18446744073709551616"};
    size_t at = static_cast<size_t>(Below(text.size() + 1));
    switch (Below(6)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(Below(256));
        break;
      case 1:
        text.erase(at, static_cast<size_t>(Below(40)));
        break;
      case 2:
        text.insert(at, kTokens[Below(std::size(kTokens))]);
        break;
      case 3:
        text.resize(at);
        break;
      case 4:
        text.insert(at,
                    other.substr(static_cast<size_t>(Below(other.size())), static_cast<size_t>(Below(200))));
        break;
      default: {  // a value for another: the shape stays right and the type does not
        size_t colon = text.find(':', at);
        size_t end = colon == std::string::npos ? colon : text.find_first_of(",}", colon);
        if (end != std::string::npos)
          text.replace(colon + 1, end - colon - 1, kTokens[Below(std::size(kTokens))]);
      }
    }
  }
  std::mt19937_64 random_{20261121};
};

void CheckPromises(const Object& object) {
  const ObjectName& name = NameOf(object);
  EXPECT_FALSE(name.name.empty());
  EXPECT_EQ(Unpack(Pack(object)), object);
  if (const auto* service = std::get_if<Service>(&object)) {
    for (const ServicePort& port : service->ports) EXPECT_NE(port.port, 0);
    for (const Address& ip : service->cluster_ips) EXPECT_FALSE(ip.IsUnspecified());
    EXPECT_LE(service->affinity_timeout_s, 86400u);
  } else if (const auto* slice = std::get_if<EndpointSlice>(&object)) {
    for (const SlicePort& port : slice->ports) EXPECT_NE(port.port, 0);
    for (const Endpoint& endpoint : slice->endpoints) EXPECT_EQ(endpoint.address.GetFamily(), slice->family);
  }
}

void Decode(const std::string& text, size_t& taken) {
  for (Kind kind : kKinds) {
    if (auto object = DecodeObject(kind, text)) CheckPromises(*object), ++taken;
    if (auto page = DecodeList(kind, text)) {
      for (const Object& object : page->objects) CheckPromises(object), ++taken;
    }
    BadObject bad;
    std::stringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      auto event = DecodeWatchEvent(kind, line, &bad);
      if (event && event->type == WatchEvent::Type::kAdded) CheckPromises(event->object), ++taken;
    }
  }
  (void)DecodeStatus(text);
  for (ManifestFormat format : {ManifestFormat::kJson, ManifestFormat::kYaml}) {
    auto contents = ReadManifest(text, format);
    if (!contents) continue;
    for (const auto& entry : contents->objects) CheckPromises(Unpack(entry.packed)), ++taken;
  }
}

TEST(DecodeFuzz, MutatedRecordingsNeverCrashAndNeverBreakAPromise) {
  const std::vector<std::string> seeds = Seeds();
  ASSERT_GT(seeds.size(), 20u);
  Mutator mutator;
  size_t taken = 0;
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds(4);
  for (int round = 0; round < 20'000 && std::chrono::steady_clock::now() < end; ++round) {
    const std::string& seed = seeds[static_cast<size_t>(mutator.Below(seeds.size()))];
    const std::string& other = seeds[static_cast<size_t>(mutator.Below(seeds.size()))];
    std::string text = mutator.Mutate(seed, other);
    SCOPED_TRACE(text.substr(0, 400));
    Decode(text, taken);
    if (HasFailure()) return;
  }
  EXPECT_GT(taken, 100u) << "the mutations leave nothing to decode";
}

}  // namespace
}  // namespace fairlead::kube
