// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/manifests_yaml.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <istream>
#include <map>
#include <streambuf>
#include <vector>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include "agent/kube/manifests_locate.h"

namespace fairlead::kube {

namespace {

// Aliases multiply: nine lines of them can stand for gigabytes.
constexpr size_t kMaxAliased = size_t{16} << 20;

bool IsOneOf(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

// A number that JSON can write as it stands and that fits a 64-bit type. Others (0x50, 010, .5, 1e999, twenty
// digits) stay strings: the field that wanted a number then says so.
bool IsJsonNumber(std::string_view text) {
  if (text.empty() || (text[0] != '-' && (text[0] < '0' || text[0] > '9'))) return false;
  if (text.size() > 1 && text[0] == '0' && text[1] >= '0' && text[1] <= '9') return false;
  if (text.find_first_not_of("0123456789+-.eE") != std::string_view::npos) return false;
  const char* end = text.data() + text.size();
  if (text.find_first_of(".eE") == std::string_view::npos) {
    int64_t value = 0;
    auto [stop, error] = std::from_chars(text.data(), end, value);
    return error == std::errc() && stop == end;
  }
  double value = 0;
  auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end && std::isfinite(value) && !FindFault(text) &&
         text.back() != '.' && text.find(".e") == std::string_view::npos;
}

void AppendString(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out.push_back('"');
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (byte < 0x20) {
      out.append("\\u00");
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

void AppendScalar(std::string& out, const std::string& tag, std::string_view text) {
  bool plain = tag.empty() || tag == "?" ||
               IsOneOf(tag, {"tag:yaml.org,2002:int", "tag:yaml.org,2002:bool", "tag:yaml.org,2002:float",
                             "tag:yaml.org,2002:null"});
  if (!plain) {
    AppendString(out, text);
  } else if (IsOneOf(text, {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})) {
    out.append("true");
  } else if (IsOneOf(text, {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})) {
    out.append("false");
  } else if (IsOneOf(text, {"", "~", "null", "Null", "NULL"})) {
    out.append("null");
  } else if (IsJsonNumber(text)) {
    out.append(text);
  } else {
    AppendString(out, text);
  }
}

// Writes the events of one document as JSON. Line feeds stand between tokens only, and only where the YAML's
// line is ahead.
class JsonEvents : public YAML::EventHandler {
 public:
  void BeginText() { last_start_ = -1; }  // before each text: positions count from its start
  bool Empty() const { return empty_; }
  std::string_view json() const { return out_; }

  // yaml-cpp 0.7 leaves a stray ']' or ':' between documents where it is, and would find an empty document
  // there again and again.
  void OnDocumentStart(const YAML::Mark& mark) override {
    if (mark.pos == last_start_) throw YAML::ParserException(mark, "unexpected character");
    last_start_ = mark.pos;
    out_.clear();
    line_ = 0;
    empty_ = true;
    open_.clear();
    anchored_.clear();
    aliased_ = 0;
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Scalar(mark, "", anchor, "null");
    if (open_.empty()) empty_ = true;
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Scalar(mark, tag, anchor, value);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (ExpectsKey()) throw YAML::ParserException(mark, "an alias cannot be a key");
    auto it = anchored_.find(anchor);
    if (it == anchored_.end()) throw YAML::ParserException(mark, "an alias inside its own anchor");
    Before(mark);
    Count(mark, it->second.size());
    out_.append(it->second);
    After();
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, anchor, false);
  }
  void OnSequenceEnd() override { Close(']'); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(mark, anchor, true);
  }
  void OnMapEnd() override { Close('}'); }

 private:
  struct Level {
    bool map = false;
    bool value_next = false;  // in a map: the key is written
    size_t count = 0;
    YAML::anchor_t anchor = 0;
    size_t start = 0;
    YAML::Mark mark;
  };

  bool ExpectsKey() const { return !open_.empty() && open_.back().map && !open_.back().value_next; }

  void Before(const YAML::Mark& mark) {
    empty_ = false;
    if (!open_.empty() && !open_.back().value_next && open_.back().count++ > 0) out_.push_back(',');
    for (; line_ < mark.line; ++line_) out_.push_back('\n');
  }
  void After() {
    if (!open_.empty()) open_.back().value_next = false;
  }

  void Scalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
              const std::string& value) {
    if (ExpectsKey()) {
      if (value == "<<" && tag == "?") throw YAML::ParserException(mark, "merge keys (<<) are not supported");
      Before(mark);
      AppendString(out_, value);
      out_.push_back(':');
      open_.back().value_next = true;
      return;
    }
    Before(mark);
    size_t start = out_.size();
    AppendScalar(out_, tag, value);
    Remember(mark, anchor, start);
    After();
  }
  void Open(const YAML::Mark& mark, YAML::anchor_t anchor, bool map) {
    if (ExpectsKey()) throw YAML::ParserException(mark, "a key must be a scalar");
    Before(mark);
    open_.push_back({map, false, 0, anchor, out_.size(), mark});
    out_.push_back(map ? '{' : '[');
  }
  void Close(char bracket) {
    out_.push_back(bracket);
    Level level = open_.back();
    open_.pop_back();
    Remember(level.mark, level.anchor, level.start);
    After();
  }
  void Remember(const YAML::Mark& mark, YAML::anchor_t anchor, size_t start) {
    if (anchor == YAML::NullAnchor) return;
    std::string text = out_.substr(start);
    Count(mark, text.size());
    std::replace(text.begin(), text.end(), '\n', ' ');  // only ever between tokens
    anchored_[anchor] = std::move(text);
  }
  void Count(const YAML::Mark& mark, size_t bytes) {
    aliased_ += bytes;
    if (aliased_ > kMaxAliased)
      throw YAML::ParserException(mark, "anchors and aliases stand for more than 16 MiB");
  }

  std::string out_;
  int last_start_ = -1;
  int line_ = 0;
  bool empty_ = true;
  std::vector<Level> open_;
  std::map<YAML::anchor_t, std::string> anchored_;
  size_t aliased_ = 0;
};

class ViewBuffer : public std::streambuf {
 public:
  explicit ViewBuffer(std::string_view text) {
    char* begin = const_cast<char*>(text.data());  // never written: there is no overflow() or pbackfail()
    setg(begin, begin, begin + text.size());
  }
};

// Where the next document starts at the latest: a line that begins with "---" ends whatever stands before it,
// block scalars included. Short texts keep yaml-cpp's memory short.
size_t NextMarker(std::string_view yaml, size_t at) {
  for (;;) {
    at = yaml.find("\n---", at);
    if (at == std::string_view::npos) return yaml.size();
    size_t after = at + 4;
    if (after == yaml.size() || std::string_view(" \t\r\n").find(yaml[after]) != std::string_view::npos)
      return at + 1;
    at = after;
  }
}

}  // namespace

std::expected<void, YamlFault> ReadYaml(std::string_view yaml, const YamlDocument& document) {
  // %TAG and %YAML lines belong to the document after them: such a text is not cut.
  bool cut = !yaml.starts_with("%") && yaml.find("\n%") == std::string_view::npos;
  JsonEvents events;
  size_t line = 1;
  for (size_t at = 0; at < yaml.size();) {
    size_t end = cut ? NextMarker(yaml, at) : yaml.size();
    std::string_view text = yaml.substr(at, end - at);
    events.BeginText();
    try {
      ViewBuffer buffer(text);
      std::istream stream(&buffer);
      YAML::Parser parser(stream);
      while (parser.HandleNextDocument(events)) {
        if (!events.Empty()) document(events.json(), line);
      }
    } catch (const YAML::Exception& e) {
      size_t offset = e.mark.line > 0 ? static_cast<size_t>(e.mark.line) : 0;
      return std::unexpected(YamlFault{line + offset, e.msg});
    } catch (const std::exception& e) {
      return std::unexpected(YamlFault{line, e.what()});
    }
    line += static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
    at = end;
  }
  return {};
}

}  // namespace fairlead::kube
