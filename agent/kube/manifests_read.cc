// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/manifests_read.h"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>
#include <simdjson.h>

#include "agent/base/log.h"
#include "agent/kube/decode_document.h"
#include "agent/kube/decode_items.h"
#include "agent/kube/manifests_locate.h"
#include "agent/kube/manifests_pack.h"
#include "agent/kube/manifests_yaml.h"

namespace fairlead::kube {

namespace {

constexpr std::string_view kDefaultNamespace = "default";
constexpr std::array kKinds = {Kind::kService, Kind::kEndpointSlice, Kind::kNode, Kind::kServiceCidr};

size_t Lines(std::string_view text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

std::string_view Group(std::string_view api_version) {
  size_t slash = api_version.find('/');
  return slash == std::string_view::npos ? std::string_view() : api_version.substr(0, slash);
}

// The kind of ours that a head names, whatever the version. A kind of the same name in another API group is
// another kind (there is a Service in serving.knative.dev).
std::optional<Kind> OurKind(const DocumentHead& head) {
  for (Kind kind : kKinds) {
    if (head.kind == KindName(kind) && Group(head.api_version) == Group(ApiVersion(kind))) return kind;
  }
  return std::nullopt;
}

// Takes documents one by one; after a fault the rest is not looked at. `line` is the one that `json` begins
// on.
class ContentsReader {
 public:
  void Document(std::string_view json, size_t line) {
    if (fault_) return;
    size_t start = SkipSpace(json, 0);
    line += Lines(json.substr(0, start));
    json.remove_prefix(start);
    auto list = SplitItems(json);
    auto head = ReadHead(list ? std::string_view(list->frame) : json);
    if (!head) return Fault(json, line, head.error());
    if (list && head->kind.ends_with("List")) {
      Items(*list, *head, json, line);
    } else {
      Single(json, line, *head);
    }
  }

  std::expected<ManifestContents, LineMessage> Take() {
    if (fault_) return std::unexpected(*std::move(fault_));
    KeepFirstOfEach();
    return std::move(contents_);
  }

 private:
  void Items(const SplitList& list, DocumentHead head, std::string_view json, size_t line) {
    head.kind.resize(head.kind.size() - std::string_view("List").size());
    const char* counted = json.data();
    for (size_t i = 0; i < list.items.size() && !fault_; ++i) {
      std::string_view item = list.items[i];
      line += Lines({counted, static_cast<size_t>(item.data() - counted)});
      counted = item.data();
      auto own = ReadHead(item);
      if (!own) return Fault(item, line, own.error());
      if (own->kind.empty()) own->kind = head.kind;
      if (own->api_version.empty()) own->api_version = head.api_version;
      if (own->kind.empty()) {
        Problem(line, fmt::format("items[{}]: kind: expected a kind, got nothing", i));
      } else if (own->kind == "List") {
        Problem(line, fmt::format("items[{}]: a List inside a List is not read", i));
      } else {
        Single(item, line, *own);
      }
    }
  }

  void Single(std::string_view json, size_t line, const DocumentHead& head) {
    if (head.kind.empty()) return Problem(line, "kind: expected a kind, got nothing");
    auto kind = OurKind(head);
    if (!kind) return spdlog::debug("manifests: passing over {} {}", head.api_version, head.kind);
    auto decoded = DecodeDocument(*kind, json, kDefaultNamespace);
    if (!decoded) return Refused(*kind, json, line, decoded.error());
    if (head.api_version != ApiVersion(*kind)) {
      Refusal refusal;
      refusal.name = NameOf(decoded->object);
      refusal.path = {{"apiVersion", 0}};
      refusal.what = fmt::format("expected {}, got \"{}\"", ApiVersion(*kind), head.api_version);
      return Refused(*kind, json, line, refusal);
    }
    for (const Refusal& part : decoded->left_out) Problem(LineOf(json, line, part), part.Message(*kind));
    contents_.objects.push_back({{*kind, NameOf(decoded->object)}, Pack(decoded->object), line});
  }

  void Refused(Kind kind, std::string_view json, size_t line, const Refusal& refusal) {
    if (refusal.not_json) return Fault(json, line, refusal);
    Problem(LineOf(json, line, refusal), refusal.Message(kind));
    if (!refusal.name.name.empty()) contents_.refused.push_back({kind, refusal.name});
  }

  void Fault(std::string_view json, size_t line, const Refusal& refusal) {
    if (refusal.not_json) {
      if (auto fault = FindFault(json)) {
        fault_ = LineMessage{line + Lines(json.substr(0, fault->offset)), "not valid JSON: " + fault->what};
        return;
      }
    }
    std::string path = PathText(refusal.path);
    fault_ =
        LineMessage{LineOf(json, line, refusal), path.empty() ? refusal.what : path + ": " + refusal.what};
  }

  static size_t LineOf(std::string_view json, size_t line, const Refusal& refusal) {
    return line + Lines(json.substr(0, Locate(json, refusal.path)));
  }

  void Problem(size_t line, std::string message) { contents_.problems.push_back({line, std::move(message)}); }

  void KeepFirstOfEach() {
    auto& objects = contents_.objects;
    std::stable_sort(objects.begin(), objects.end(),
                     [](const auto& a, const auto& b) { return a.key < b.key; });
    auto again = [this](const auto& first, const auto& second) {
      if (first.key != second.key) return false;
      Problem(second.line, fmt::format("{} {}: is defined on line {} of this file already; that one counts",
                                       KindName(second.key.kind), second.key.name.ToString(), first.line));
      return true;
    };
    objects.erase(std::unique(objects.begin(), objects.end(), again), objects.end());
    objects.shrink_to_fit();
  }

  ManifestContents contents_;
  std::optional<LineMessage> fault_;
};

// Values that follow each other in a .json file, with or without white space between them.
void ReadJson(std::string_view text, ContentsReader& reader) {
  size_t line = 1;
  size_t counted = 0;
  for (size_t at = SkipSpace(text, 0); at < text.size();) {
    size_t end = EndOfValue(text, at).value_or(text.size());
    line += Lines(text.substr(counted, at - counted));
    counted = at;
    reader.Document(text.substr(at, end - at), line);
    at = SkipSpace(text, end);
  }
}

size_t LineOfBadUtf8(std::string_view text) {
  for (size_t at = 0, line = 1;; ++line) {
    size_t end = std::min(text.find('\n', at), text.size());
    if (end == text.size() || !simdjson::validate_utf8(text.substr(at, end - at))) return line;
    at = end + 1;
  }
}

}  // namespace

std::expected<ManifestContents, LineMessage> ReadManifest(std::string_view text, ManifestFormat format) {
  if (text.size() > kMaxManifestBytes) {
    return std::unexpected(LineMessage{1, fmt::format("is larger than {} MiB", kMaxManifestBytes >> 20)});
  }
  if (!simdjson::validate_utf8(text)) return std::unexpected(LineMessage{LineOfBadUtf8(text), "not UTF-8"});
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  // Far more often a write that was cut short than a wish: to take objects away, remove the file.
  if (SkipSpace(text, 0) == text.size()) return std::unexpected(LineMessage{1, "is empty"});

  ContentsReader reader;
  if (format == ManifestFormat::kJson) {
    ReadJson(text, reader);
  } else {
    auto read = ReadYaml(text, [&](std::string_view json, size_t line) { reader.Document(json, line); });
    if (!read) return std::unexpected(LineMessage{read.error().line, "not valid YAML: " + read.error().what});
  }
  return reader.Take();
}

}  // namespace fairlead::kube
