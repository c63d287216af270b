// SPDX-License-Identifier: Apache-2.0
// An nfnetlink batch of element changes: the bytes, and what the kernel answers. Message formats:
// include/uapi/linux/netfilter/nf_tables.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/netlink.h"
#include "agent/datapath/nftables/kernel.h"

namespace fairlead::nftables {

class Batch {
 public:
  Batch();

  void Add(const Write& write);
  // A client of a map of session affinity goes.
  void AddForget(std::string_view map, const Bytes& client, size_t group);
  void Add(const MapRule& rule);
  void FlushChain(const std::string& chain);
  // The whole batch. No more is added after it.
  std::span<const std::byte> Finish();

  // The group of the message with this sequence number; nothing for those that frame the batch.
  std::optional<size_t> GroupOf(uint32_t sequence) const;

 private:
  size_t Begin(uint16_t type, uint16_t flags, uint16_t resource);
  void End(size_t message);
  size_t Nest(uint16_t type);
  void Close(size_t nest);
  void Put(uint16_t type, std::span<const uint8_t> value);
  void Put(uint16_t type, std::string_view text);
  void CloseMessage();
  void OpenMessage(bool add, std::string_view set, size_t group);
  void PutNumber(uint16_t type, uint32_t number);
  void BeginRule(uint16_t message, uint16_t flags, const std::string& chain);
  void PutExpression(std::string_view name, std::initializer_list<std::pair<uint16_t, uint32_t>> numbers,
                     std::pair<uint16_t, std::string_view> set = {});
  void PutMatch(uint32_t meta_key, uint8_t value);
  void PutLoad(uint32_t base, uint32_t offset, uint32_t size, uint32_t into);
  uint32_t PutFrontend(const MapRule& rule);
  void PutTranslation(const MapRule& rule);
  void PutUpdate(const MapRule& rule);
  void PutElement(const Element& element, bool add);

  std::vector<std::byte> bytes_;
  std::vector<size_t> groups_;  // of messages, from the one after the begin on
  std::string open_set_;        // the set of the open message; empty: none is open
  bool open_add_ = false;
  size_t open_message_ = 0;
  size_t open_list_ = 0;
};

// Of a dump's message; nothing if it is not what our sets hold.
std::vector<Element> ElementsOf(Set set, Family family, const NetlinkMessage& message);
std::vector<Remembered> RememberedOf(const NetlinkMessage& message);

}  // namespace fairlead::nftables
