// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/decode.h"

#include <algorithm>

#include <fmt/format.h>

#include "agent/kube/decode_document.h"
#include "agent/kube/decode_items.h"
#include "agent/kube/decode_kinds.h"
#include "agent/kube/decode_value.h"

namespace fairlead::kube {

namespace {

bool IsNamespaced(Kind kind) {
  return kind == Kind::kService || kind == Kind::kEndpointSlice;
}

// Lower-case letters, digits, '-' and '.': what the API allows in names, and what may go into paths, rules
// and log lines unquoted.
bool IsDnsName(std::string_view text, size_t max, bool dots) {
  return !text.empty() && text.size() <= max && std::all_of(text.begin(), text.end(), [dots](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || (dots && c == '.');
  });
}

void ReadName(Kind kind, const Value& object, std::string_view default_namespace) {
  Reader& reader = object.reader();
  auto [metadata] = object.Fields({"metadata"});
  auto [name, ns, version] = metadata.Fields({"name", "namespace", "resourceVersion"});
  reader.resource_version = version.Text();
  if (!IsDnsName(name.Text(), 253, true)) {
    return name.Expected("1-253 lower-case letters, digits, '-' and '.'");
  }
  ObjectName read{"", std::string(name.Text())};
  if (IsNamespaced(kind)) {
    read.ns = ns.Text().empty() ? default_namespace : ns.Text();
    if (!IsDnsName(read.ns, 63, false)) return ns.Expected("1-63 lower-case letters, digits and '-'");
  }
  reader.name = std::move(read);
}

Object DecodeKind(Kind kind, const Value& object) {
  switch (kind) {
    case Kind::kService:
      return DecodeService(object);
    case Kind::kEndpointSlice:
      return DecodeEndpointSlice(object);
    case Kind::kNode:
      return DecodeNode(object);
    case Kind::kServiceCidr:
      return DecodeServiceCidr(object);
  }
  return Service{};
}

std::expected<Decoded, Refusal> Decode(Kind kind, const Value& object, std::string_view default_namespace) {
  Reader& reader = object.reader();
  auto [kind_field] = object.Fields({"kind"});
  std::string_view said = kind_field.Text();
  if (!said.empty() && said != KindName(kind)) kind_field.Expected(KindName(kind));
  ReadName(kind, object, default_namespace);
  Decoded decoded;
  if (!reader.Failed()) decoded.object = DecodeKind(kind, object);
  if (auto refusal = reader.TakeRefusal()) {
    refusal->name = reader.name;
    refusal->resource_version = reader.resource_version;
    return std::unexpected(*std::move(refusal));
  }
  decoded.resource_version = std::move(reader.resource_version);
  decoded.left_out = reader.TakeLeftOut();
  return decoded;
}

Refusal NotJson(simdjson::error_code code) {
  Refusal refusal;
  refusal.what = fmt::format("not valid JSON: {}", simdjson::error_message(code));
  refusal.not_json = true;
  return refusal;
}

std::vector<std::string> Messages(Kind kind, const std::vector<Refusal>& refusals) {
  std::vector<std::string> messages;
  for (const Refusal& refusal : refusals) messages.push_back(refusal.Message(kind));
  return messages;
}

// The frame of a list says that it is one of this kind; a body that does not must not make objects disappear.
Result<> ReadFrame(Kind kind, std::string_view frame, ListPage& page) {
  const std::string list_kind = fmt::format("{}List", KindName(kind));
  simdjson::dom::element root;
  if (auto code = ParseJson(frame, root))
    return Fail(ErrorKind::kInvalid, "{}: {}", list_kind, NotJson(code).what);
  Reader reader;
  Value list(reader, root);
  auto [api_version, said, metadata, items] = list.Fields({"apiVersion", "kind", "metadata", "items"});
  auto [version, next] = metadata.Fields({"resourceVersion", "continue"});
  page.resource_version = version.Text();
  page.continue_token = next.Text();
  if (said.Text() != list_kind) {
    said.Expected(list_kind);
  } else if (!api_version.Text().empty() && api_version.Text() != ApiVersion(kind)) {
    api_version.Expected(ApiVersion(kind));
  } else if (items.Absent() && !items.IsNull()) {
    items.Expected("an array");
  } else {
    // Items that were not cut out (their key is written with escapes) would be lost in silence.
    items.ForEach([](const Value& item) { item.Fail("expected the key \"items\" as plain text"); });
  }
  if (auto refusal = reader.TakeRefusal()) {
    return Fail(ErrorKind::kInvalid, "{}: {}: {}", list_kind, PathText(refusal->path), refusal->what);
  }
  return {};
}

Result<WatchEvent::Type> ReadEventType(std::string_view text) {
  using Type = WatchEvent::Type;
  if (text == "ADDED") return Type::kAdded;
  if (text == "MODIFIED") return Type::kModified;
  if (text == "DELETED") return Type::kDeleted;
  if (text == "BOOKMARK") return Type::kBookmark;
  if (text == "ERROR") return Type::kError;
  return Fail(ErrorKind::kInvalid,
              "watch event: type: expected ADDED, MODIFIED, DELETED, BOOKMARK or ERROR, got \"{}\"",
              text.substr(0, 32));
}

void ReadBookmark(const Value& object, WatchEvent& event) {
  auto [metadata] = object.Fields({"metadata"});
  auto [version, annotations] = metadata.Fields({"resourceVersion", "annotations"});
  auto [end] = annotations.Fields({"k8s.io/initial-events-end"});
  event.resource_version = version.Text();
  event.initial_events_end = end.Text() == "true";
}

Object EmptyObject(Kind kind) {
  switch (kind) {
    case Kind::kService:
      return Service{};
    case Kind::kEndpointSlice:
      return EndpointSlice{};
    case Kind::kNode:
      return Node{};
    case Kind::kServiceCidr:
      return ServiceCidr{};
  }
  return Service{};
}

// Of a deleted object only the name counts: it goes, whatever else is in it.
void ReadDeleted(Kind kind, const Value& object, WatchEvent& event) {
  ReadName(kind, object, "");
  event.resource_version = object.reader().resource_version;
  event.object = EmptyObject(kind);
  std::visit([&](auto& empty) { empty.name = object.reader().name; }, event.object);
}

}  // namespace

std::string_view ApiVersion(Kind kind) {
  static constexpr std::string_view kVersions[] = {"v1", "discovery.k8s.io/v1", "v1", "networking.k8s.io/v1"};
  return kVersions[static_cast<size_t>(kind)];
}

std::expected<Decoded, Refusal> DecodeDocument(Kind kind, std::string_view json,
                                               std::string_view default_namespace) {
  simdjson::dom::element root;
  if (auto code = ParseJson(json, root)) return std::unexpected(NotJson(code));
  Reader reader;
  return Decode(kind, Value(reader, root), default_namespace);
}

std::expected<DocumentHead, Refusal> ReadHead(std::string_view json) {
  simdjson::dom::element root;
  if (auto code = ParseJson(json, root)) return std::unexpected(NotJson(code));
  Reader reader;
  Value document(reader, root);
  auto [api_version, kind] = document.Fields({"apiVersion", "kind"});
  DocumentHead head{std::string(api_version.Text()), std::string(kind.Text())};
  if (document.IsNull()) document.Expected("an object");
  if (auto refusal = reader.TakeRefusal()) return std::unexpected(*std::move(refusal));
  return head;
}

Result<Object> DecodeObject(Kind kind, std::string_view json, std::vector<std::string>* left_out) {
  auto decoded = DecodeDocument(kind, json, "");
  if (!decoded) return Fail(ErrorKind::kInvalid, "{}", decoded.error().Message(kind));
  if (left_out) *left_out = Messages(kind, decoded->left_out);
  return std::move(decoded->object);
}

Result<ListPage> DecodeList(Kind kind, std::string_view json) {
  ListPage page;
  auto list = SplitItems(json);
  auto framed = ReadFrame(kind, list ? std::string_view(list->frame) : json, page);
  if (!framed) return std::unexpected(std::move(framed).error());
  if (!list) return page;

  const std::string source = fmt::format("{} list", KindName(kind));
  page.objects.reserve(list->items.size());
  for (size_t i = 0; i < list->items.size(); ++i) {
    auto decoded = DecodeDocument(kind, list->items[i], "");
    if (!decoded) {
      std::string message = decoded.error().Message(kind);
      if (decoded.error().name.name.empty()) message = fmt::format("items[{}]: {}", i, message);
      page.problems.push_back({source, std::move(message)});
      continue;
    }
    for (std::string& message : Messages(kind, decoded->left_out)) {
      page.problems.push_back({source, std::move(message)});
    }
    page.objects.push_back(std::move(decoded->object));
  }
  return page;
}

Result<WatchEvent> DecodeWatchEvent(Kind kind, std::string_view json, BadObject* bad) {
  simdjson::dom::element root;
  if (auto code = ParseJson(json, root))
    return Fail(ErrorKind::kInvalid, "watch event: {}", NotJson(code).what);
  Reader frame_reader;
  Value frame(frame_reader, root);
  auto [type_field, object_field] = frame.Fields({"type", "object"});
  auto type = ReadEventType(type_field.Text());
  if (frame_reader.Failed() || object_field.Absent()) {
    return Fail(ErrorKind::kInvalid, "watch event: expected an object with type and object");
  }
  if (!type) return std::unexpected(std::move(type).error());

  WatchEvent event;
  event.type = *type;
  Reader reader;
  const Value object(reader, object_field.json());
  switch (event.type) {
    case WatchEvent::Type::kError: {
      Status status = DecodeStatus(simdjson::minify(object.json()));
      event.code = status.code;
      event.message = std::move(status.message);
      return event;
    }
    case WatchEvent::Type::kBookmark:
      ReadBookmark(object, event);
      break;
    case WatchEvent::Type::kDeleted:
      ReadDeleted(kind, object, event);
      break;
    case WatchEvent::Type::kAdded:
    case WatchEvent::Type::kModified: {
      auto decoded = Decode(kind, object, "");
      if (!decoded) {
        if (bad) *bad = {decoded.error().name, decoded.error().resource_version};
        return Fail(ErrorKind::kInvalid, "{}", decoded.error().Message(kind));
      }
      event.object = std::move(decoded->object);
      event.resource_version = std::move(decoded->resource_version);
      event.left_out = Messages(kind, decoded->left_out);
      return event;
    }
  }
  if (auto refusal = reader.TakeRefusal()) {
    if (bad) *bad = {reader.name, reader.resource_version};
    return Fail(ErrorKind::kInvalid, "{}", refusal->Message(kind));
  }
  return event;
}

Status DecodeStatus(std::string_view json) {
  simdjson::dom::element root;
  if (ParseJson(json, root)) return {};
  Reader reader;
  Value body(reader, root);
  auto [kind, code, reason, message, metadata, details] =
      body.Fields({"kind", "code", "reason", "message", "metadata", "details"});
  auto [next] = metadata.Fields({"continue"});
  auto [retry] = details.Fields({"retryAfterSeconds"});
  Status status;
  if (kind.Text() != "Status") return {};
  status.code = code.Integer<int>(0, 999, 0);
  status.reason = reason.Text();
  status.message = message.Text();
  status.retry_after_s = retry.Integer<int>(0, 86400, 0);
  status.continue_token = next.Text();
  return reader.Failed() ? Status{} : status;
}

}  // namespace fairlead::kube
