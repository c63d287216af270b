// SPDX-License-Identifier: Apache-2.0
#include "agent/base/symbol.h"

#include <mutex>
#include <unordered_map>

namespace fairlead {

namespace {

// Keys view into the strings they map to; an entry goes with its last symbol.
struct Interned {
  std::mutex mutex;
  std::unordered_map<std::string_view, std::weak_ptr<const std::string>> words;
};

Interned& Table() {
  static Interned& table = *new Interned;  // outlives every static Symbol
  return table;
}

void Forget(const std::string* text) {
  Interned& table = Table();
  {
    std::lock_guard lock(table.mutex);
    auto it = table.words.find(*text);
    // Another thread may have interned the word again meanwhile: then the entry is the new one's.
    if (it != table.words.end() && it->second.expired() && it->first.data() == text->data()) {
      table.words.erase(it);
    }
  }
  delete text;
}

}  // namespace

Symbol::Symbol(std::string_view text) {
  if (text.empty()) return;
  Interned& table = Table();
  std::lock_guard lock(table.mutex);
  auto it = table.words.find(text);
  if (it != table.words.end()) {
    text_ = it->second.lock();
    if (text_) return;
    table.words.erase(it);
  }
  text_ = std::shared_ptr<const std::string>(new std::string(text), Forget);
  table.words.emplace(std::string_view(*text_), text_);
}

}  // namespace fairlead
