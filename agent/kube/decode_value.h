// SPDX-License-Identifier: Apache-2.0
// JSON values that know where they are. Decoding code reads field after field without asking for errors: the
// first thing that is wrong is kept by the Reader with its path, and everything read after it is absent.
// Only decode*.cc include this: simdjson stops here.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <simdjson.h>

#include "agent/kube/decode_refusal.h"

namespace fairlead::kube {

// The state of decoding one object.
class Reader {
 public:
  bool Failed() const { return refusal_.has_value(); }
  // Goes on after a part that can be left out safely: a failure becomes a remark. Call it only where nothing
  // had failed before the part. True if there was one. Remarks beyond a handful are counted, not kept.
  bool LeaveOut();

  std::optional<Refusal> TakeRefusal() { return std::move(refusal_); }
  std::vector<Refusal> TakeLeftOut();

  ObjectName name;
  std::string resource_version;

 private:
  friend class Value;
  void Fail(std::vector<PathStep> path, std::string what);

  std::optional<Refusal> refusal_;
  std::vector<Refusal> left_out_;
  size_t more_left_out_ = 0;
};

// A value in its document, or the absence of one. Refers to its parent: a parent must stay where it is while
// its children are in use. JSON null is absent, except to IsNull().
class Value {
 public:
  Value(Reader& reader, simdjson::dom::element json) : reader_(&reader), json_(json), there_(true) {}
  Value() = default;

  Reader& reader() const { return *reader_; }
  bool Absent() const { return !there_ || json_.is_null() || reader_->Failed(); }
  bool IsNull() const { return there_ && json_.is_null(); }
  simdjson::dom::element json() const { return json_; }

  // Each of these fails on a value of another type and answers for an absent one as said.
  std::string_view Text() const;  // absent: ""
  bool Bool(bool if_absent) const;
  template <typename T>
  T Integer(T min, T max, T if_absent) const {
    static_assert(sizeof(T) < sizeof(int64_t) || std::numeric_limits<T>::is_signed);
    return static_cast<T>(Integer64(min, max, if_absent));
  }

  // The named members, in this order, in one pass. A name that occurs twice is a failure: readers of JSON
  // disagree about which one counts. Other members are not looked at.
  template <size_t N>
  std::array<Value, N> Fields(const std::string_view (&names)[N]) const& {
    std::array<Value, N> fields;
    Pick(names, fields);
    return fields;
  }
  template <size_t N>
  std::array<Value, N> Fields(const std::string_view (&names)[N]) const&& = delete;

  // f(const Value&) for the elements of an array; stops at the first failure.
  template <typename F>
  void ForEach(F f) const {
    simdjson::dom::array array;
    if (!AsArray(array)) return;
    size_t index = 0;
    for (simdjson::dom::element element : array) {
      f(Value(*this, {}, index++, element));
      if (reader_->Failed()) return;
    }
  }
  // f(std::string_view key, const Value&) for the members of an object; stops at the first failure.
  template <typename F>
  void ForEachField(F f) const {
    simdjson::dom::object object;
    if (!AsObject(object)) return;
    for (auto [key, element] : object) {
      f(key, Value(*this, key, 0, element));
      if (reader_->Failed()) return;
    }
  }

  void Fail(std::string what) const { reader_->Fail(Path(), std::move(what)); }
  // Fails with "expected <expected>, got <the value as JSON>".
  void Expected(std::string_view expected) const;

 private:
  Value(const Value& up, std::string_view key, size_t index, simdjson::dom::element json)
      : reader_(up.reader_), up_(&up), json_(json), key_(key), index_(index), there_(true) {}

  int64_t Integer64(int64_t min, int64_t max, int64_t if_absent) const;
  void Pick(std::span<const std::string_view> names, std::span<Value> fields) const;
  bool AsArray(simdjson::dom::array& array) const;
  bool AsObject(simdjson::dom::object& object) const;
  std::vector<PathStep> Path() const;

  Reader* reader_ = nullptr;
  const Value* up_ = nullptr;
  simdjson::dom::element json_;
  std::string_view key_;
  size_t index_ = 0;
  bool there_ = false;
};

// Parses `json` into this thread's parser; the element is valid until the thread's next call. simdjson checks
// all of the text: UTF-8, nesting (1,024 levels), numbers that fit no 64-bit type.
simdjson::error_code ParseJson(std::string_view json, simdjson::dom::element& root);

}  // namespace fairlead::kube
