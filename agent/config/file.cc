// SPDX-License-Identifier: Apache-2.0
#include "agent/config/file.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "agent/config/text.h"

namespace fairlead::config {

namespace {

constexpr size_t kLargestFile = 1 << 20;  // a ConfigMap holds no more

struct Schema {
  std::string_view api_version;
  std::string_view kind;
  const std::vector<Field>& (*fields)();
};

constexpr Schema kSchemas[] = {
    {"kubeproxy.config.k8s.io/v1alpha1", "KubeProxyConfiguration", &KubeProxyFields},
    {"fairlead.io/v1alpha1", "FairleadConfiguration", &FairleadFields},
};

class Reader {
 public:
  explicit Reader(std::string name) : name_(std::move(name)) {}

  Result<void> ReadDocument(const YAML::Node& document);
  std::vector<Setting> settings;

 private:
  Result<const Schema*> FindSchema(const YAML::Node& document);
  Result<void> ReadMap(const YAML::Node& map, const std::string& prefix);
  Result<void> ReadField(const std::string& path, const YAML::Node& key, const YAML::Node& node);
  Unexpected Unknown(const std::string& path, const YAML::Node& key) const;
  Value MakeValue(const YAML::Node& node, const std::string& where) const;
  std::string Where(const YAML::Node& node, std::string_view path = {}) const {
    std::string where = fmt::format("{}:{}", name_, node.Mark().line + 1);
    return path.empty() ? where : fmt::format("{}: {}", where, path);
  }

  std::string name_;
  std::set<std::string_view> seen_;
  const Schema* schema_ = nullptr;
};

// A part of a document that holds fields: "" or "iptables".
bool IsSection(const Schema& schema, std::string_view path) {
  std::string prefix = fmt::format("{}.", path);
  return std::ranges::any_of(schema.fields(), [&](const Field& f) { return f.path.starts_with(prefix); });
}

Result<const Schema*> Reader::FindSchema(const YAML::Node& document) {
  if (!document.IsMap()) {
    return Fail(ErrorKind::kInvalid, "{}: expected a map with apiVersion and kind", Where(document));
  }
  auto text = [&](const char* key) {
    const YAML::Node node = document[key];
    return node && node.IsScalar() ? node.Scalar() : std::string();
  };
  std::string api_version = text("apiVersion");
  std::string kind = text("kind");
  for (const Schema& schema : kSchemas) {
    if (schema.api_version == api_version && schema.kind == kind) return &schema;
  }
  return Fail(ErrorKind::kInvalid, "{}: expected {} of {} or {} of {}, got kind {} of apiVersion {}",
              Where(document), kSchemas[0].kind, kSchemas[0].api_version, kSchemas[1].kind,
              kSchemas[1].api_version, Quote(kind), Quote(api_version));
}

Result<void> Reader::ReadDocument(const YAML::Node& document) {
  if (document.IsNull()) return {};
  auto schema = FindSchema(document);
  if (!schema) return Unexpected(std::move(schema).error());
  schema_ = *schema;
  if (!seen_.insert(schema_->kind).second) {
    return Fail(ErrorKind::kInvalid, "{}: a second document of kind {}", Where(document), schema_->kind);
  }
  return ReadMap(document, "");
}

Result<void> Reader::ReadMap(const YAML::Node& map, const std::string& prefix) {
  std::set<std::string> names;
  for (const auto& entry : map) {
    if (!entry.first.IsScalar()) {
      return Fail(ErrorKind::kInvalid, "{}: expected a field name", Where(entry.first, prefix));
    }
    const std::string& name = entry.first.Scalar();
    std::string path = prefix.empty() ? name : fmt::format("{}.{}", prefix, name);
    if (!names.insert(name).second) {
      return Fail(ErrorKind::kInvalid, "{}: is there twice", Where(entry.first, path));
    }
    if (prefix.empty() && (name == "apiVersion" || name == "kind")) continue;
    if (auto read = ReadField(path, entry.first, entry.second); !read) return read;
  }
  return {};
}

Result<void> Reader::ReadField(const std::string& path, const YAML::Node& key, const YAML::Node& node) {
  const std::vector<Field>& fields = schema_->fields();
  if (auto field = std::ranges::find(fields, path, &Field::path); field != fields.end()) {
    if (!node.IsNull()) settings.push_back({&*field, MakeValue(node, Where(key, path))});
    return {};
  }
  if (!IsSection(*schema_, path)) return Unknown(path, key);
  if (node.IsNull()) return {};
  if (!node.IsMap()) {
    return Fail(ErrorKind::kInvalid, "{}: expected a map, got {}", Where(key, path),
                node.IsScalar() ? Quote(node.Scalar()) : "a list");
  }
  return ReadMap(node, path);
}

Unexpected Reader::Unknown(const std::string& path, const YAML::Node& key) const {
  std::vector<std::string_view> known;
  for (const Field& field : schema_->fields()) {
    for (size_t dot = field.path.find('.'); dot != std::string_view::npos;
         dot = field.path.find('.', dot + 1)) {
      known.push_back(field.path.substr(0, dot));
    }
    known.push_back(field.path);
  }
  std::string hint;
  if (const std::string_view meant = Nearest(path, known); !meant.empty())
    hint = fmt::format(" (did you mean {}?)", meant);
  for (const Schema& other : kSchemas) {
    if (std::ranges::find(other.fields(), path, &Field::path) != other.fields().end() ||
        IsSection(other, path))
      hint = fmt::format(" (it belongs into a document of kind {})", other.kind);
  }
  return Fail(ErrorKind::kInvalid, "{}: no such field in {}{}",
              fmt::format("{}:{}: {}", name_, key.Mark().line + 1, Quote(path)), schema_->kind, hint);
}

Value Reader::MakeValue(const YAML::Node& node, const std::string& where) const {
  Value value{.form = Value::Form::kPlain, .where = where, .text = {}, .items = {}, .entries = {}};
  if (node.IsSequence()) {
    value.form = Value::Form::kList;
    for (const auto& item : node) {
      if (item.IsScalar()) {
        value.items.push_back(MakeValue(item, where));
      } else {
        value.items.push_back({.form = item.IsSequence() ? Value::Form::kList : Value::Form::kMap,
                               .where = where,
                               .text = {},
                               .items = {},
                               .entries = {}});
      }
    }
  } else if (node.IsMap()) {
    value.form = Value::Form::kMap;
    for (const auto& entry : node) {
      Value inner{.form = Value::Form::kMap, .where = where, .text = {}, .items = {}, .entries = {}};
      if (entry.second.IsScalar()) inner = MakeValue(entry.second, where);
      value.entries.emplace_back(entry.first.IsScalar() ? entry.first.Scalar() : "", std::move(inner));
    }
  } else {
    value.text = node.Scalar();
    if (node.Tag() == "!") value.form = Value::Form::kQuoted;  // yaml-cpp's tag of a quoted scalar
  }
  return value;
}

}  // namespace

Result<std::vector<Setting>> ReadText(const std::string& text, const std::string& name) {
  try {
    Reader reader(name);
    for (const YAML::Node& document : YAML::LoadAll(text)) {
      if (auto read = reader.ReadDocument(document); !read) return Unexpected(std::move(read).error());
    }
    return std::move(reader.settings);
  } catch (const YAML::Exception& error) {
    return Fail(ErrorKind::kInvalid, "{}:{}: not YAML: {}", name, error.mark.line + 1, error.msg);
  }
}

Result<std::vector<Setting>> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kLargestFile + 1, '\0');
  if (!file || (!file.read(text.data(), static_cast<std::streamsize>(text.size())) && !file.eof())) {
    return FailErrno(errno, "--config: {}", Quote(path));
  }
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > kLargestFile) {
    return Fail(ErrorKind::kInvalid, "--config: {}: larger than {} bytes", Quote(path), kLargestFile);
  }
  return ReadText(text, path);
}

}  // namespace fairlead::config
