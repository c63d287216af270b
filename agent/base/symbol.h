// SPDX-License-Identifier: Apache-2.0
// An interned string: equal text is one allocation, comparison for equality is one pointer. For words that
// repeat a hundred thousand times in a cluster's endpoints (node names, zones). Thread-safe; the empty symbol
// costs nothing. Text lives as long as any symbol of it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace fairlead {

class Symbol {
 public:
  Symbol() = default;
  explicit Symbol(std::string_view text);

  std::string_view View() const { return text_ ? std::string_view(*text_) : std::string_view(); }
  bool Empty() const { return !text_; }
  friend bool operator==(const Symbol& a, const Symbol& b) { return a.text_ == b.text_; }
  friend bool operator==(const Symbol& a, std::string_view b) { return a.View() == b; }

 private:
  std::shared_ptr<const std::string> text_;
};

}  // namespace fairlead
