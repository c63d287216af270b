// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/nftables/batch.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include <algorithm>

#include "agent/datapath/nftables/script.h"

namespace fairlead::nftables {

namespace {

// The length of an attribute is 16 bits, and a message's list of elements is one.
constexpr size_t kListMax = 32768;
// The type of a comment among an element's user data (libnftnl's NFTNL_UDATA_SET_ELEM_COMMENT).
constexpr uint8_t kUserComment = 0;

size_t Aligned(size_t size) {
  return (size + NLMSG_ALIGNTO - 1) & ~size_t{NLMSG_ALIGNTO - 1};
}

uint16_t Type(uint16_t message) {
  return static_cast<uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | message);
}

Bytes ToBytes(std::span<const std::byte> value) {
  Bytes bytes;
  bytes.size = static_cast<uint8_t>(std::min(value.size(), bytes.data.size()));
  std::memcpy(bytes.data.data(), value.data(), bytes.size);
  return bytes;
}

void ReadData(const NetlinkAttribute& data, Element& into) {
  for (const NetlinkAttribute& attribute : NetlinkAttributes(data.value)) {
    if (attribute.type == NFTA_DATA_VALUE) into.value = ToBytes(attribute.value);
    if (attribute.type != NFTA_DATA_VERDICT) continue;
    for (const NetlinkAttribute& part : NetlinkAttributes(attribute.value)) {
      if (part.type == NFTA_VERDICT_CHAIN) into.chain = part.Text();
      if (part.type != NFTA_VERDICT_CODE) continue;
      const auto code = static_cast<int32_t>(ntohl(part.As<uint32_t>()));
      into.verdict = code == NFT_GOTO   ? Verdict::kGoto
                     : code == NFT_JUMP ? Verdict::kJump
                     : code == NF_DROP  ? Verdict::kDrop
                                        : Verdict::kNone;
    }
  }
}

std::string CommentIn(std::span<const std::byte> user) {
  while (user.size() >= 2) {
    const auto type = static_cast<uint8_t>(user[0]);
    const size_t length = std::min<size_t>(static_cast<uint8_t>(user[1]), user.size() - 2);
    const auto* text = reinterpret_cast<const char*>(user.data() + 2);
    if (type == kUserComment) return std::string(text, ::strnlen(text, length));
    user = user.subspan(2 + length);
  }
  return {};
}

Bytes KeyIn(const NetlinkAttribute& attribute) {
  Bytes key;
  ForEachNetlinkAttribute(attribute.value, 0, [&](const NetlinkAttribute& part) {
    if (part.type == NFTA_DATA_VALUE) key = ToBytes(part.value);
  });
  return key;
}

Element ElementIn(const NetlinkAttribute& listed) {
  Element element;
  ForEachNetlinkAttribute(listed.value, 0, [&](const NetlinkAttribute& attribute) {
    if (attribute.type == NFTA_SET_ELEM_KEY) element.key = KeyIn(attribute);
    if (attribute.type == NFTA_SET_ELEM_KEY_END) element.key_end = KeyIn(attribute);
    if (attribute.type == NFTA_SET_ELEM_DATA) ReadData(attribute, element);
    if (attribute.type == NFTA_SET_ELEM_USERDATA) element.comment = CommentIn(attribute.value);
  });
  return element;
}

template <typename Visit>
void ForEachListed(const NetlinkMessage& message, Visit visit) {
  for (const NetlinkAttribute& attribute : NetlinkAttributes(message.body, sizeof(nfgenmsg))) {
    if (attribute.type != NFTA_SET_ELEM_LIST_ELEMENTS) continue;
    ForEachNetlinkAttribute(attribute.value, 0, visit);
  }
}

}  // namespace

Batch::Batch() {
  End(Begin(NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, NFNL_SUBSYS_NFTABLES));
}

// Returns where the message begins. Sequence numbers count messages from 0, the begin of the batch.
size_t Batch::Begin(uint16_t type, uint16_t flags, uint16_t resource) {
  const size_t at = bytes_.size();
  const bool frames = type == NFNL_MSG_BATCH_BEGIN || type == NFNL_MSG_BATCH_END;
  nlmsghdr header{0, type, flags, static_cast<uint32_t>(groups_.size()), 0};
  nfgenmsg generic{static_cast<uint8_t>(frames ? NFPROTO_UNSPEC : NFPROTO_INET), NFNETLINK_V0,
                   htons(resource)};
  bytes_.resize(at + NLMSG_HDRLEN + sizeof(generic));
  std::memcpy(&bytes_[at], &header, sizeof(header));
  std::memcpy(&bytes_[at + NLMSG_HDRLEN], &generic, sizeof(generic));
  return at;
}

void Batch::End(size_t message) {
  const auto length = static_cast<uint32_t>(bytes_.size() - message);
  std::memcpy(&bytes_[message], &length, sizeof(length));
}

// Begins an attribute of attributes; returns where, for Close.
size_t Batch::Nest(uint16_t type) {
  const size_t at = bytes_.size();
  const nlattr header{0, static_cast<uint16_t>(type | NLA_F_NESTED)};
  bytes_.resize(at + NLA_HDRLEN);
  std::memcpy(&bytes_[at], &header, sizeof(header));
  return at;
}

void Batch::Close(size_t nest) {
  const auto length = static_cast<uint16_t>(bytes_.size() - nest);
  std::memcpy(&bytes_[nest], &length, sizeof(length));
}

void Batch::Put(uint16_t type, std::span<const uint8_t> value) {
  const size_t at = bytes_.size();
  const nlattr header{static_cast<uint16_t>(NLA_HDRLEN + value.size()), type};
  bytes_.resize(at + Aligned(header.nla_len));
  std::memcpy(&bytes_[at], &header, sizeof(header));
  if (!value.empty()) std::memcpy(&bytes_[at + NLA_HDRLEN], value.data(), value.size());
}

void Batch::Put(uint16_t type, std::string_view text) {
  const std::string whole(text);  // with its NUL
  Put(type, std::span(reinterpret_cast<const uint8_t*>(whole.c_str()), whole.size() + 1));
}

void Batch::CloseMessage() {
  if (open_set_.empty()) return;
  Close(open_list_);
  End(open_message_);
  open_set_.clear();
}

// Changes of the same kind, set and group share a message while there is room.
void Batch::OpenMessage(bool add, std::string_view set, size_t group) {
  if (!open_set_.empty() && open_set_ == set && open_add_ == add && groups_.back() == group &&
      bytes_.size() - open_list_ < kListMax) {
    return;
  }
  CloseMessage();
  groups_.push_back(group);
  const uint16_t flags = static_cast<uint16_t>(NLM_F_REQUEST | (add ? NLM_F_CREATE : 0));
  open_message_ = Begin(Type(add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM), flags, 0);
  Put(NFTA_SET_ELEM_LIST_TABLE, kTable);
  Put(NFTA_SET_ELEM_LIST_SET, set);
  open_list_ = Nest(NFTA_SET_ELEM_LIST_ELEMENTS);
  open_set_ = set;
  open_add_ = add;
}

void Batch::Add(const Write& write) {
  OpenMessage(write.add, SetName(write.element.set, write.element.family), write.group);
  PutElement(write.element, write.add);
}

void Batch::AddForget(std::string_view map, const Bytes& client, size_t group) {
  OpenMessage(false, map, group);
  Element element;
  element.key = client;
  PutElement(element, false);
}

void Batch::PutElement(const Element& element, bool add) {
  const size_t listed = Nest(NFTA_LIST_ELEM);
  auto put_value = [&](uint16_t type, const Bytes& bytes) {
    const size_t data = Nest(type);
    Put(NFTA_DATA_VALUE, bytes.View());
    Close(data);
  };
  put_value(NFTA_SET_ELEM_KEY, element.key);
  if (element.key_end.size != 0) put_value(NFTA_SET_ELEM_KEY_END, element.key_end);
  if (add && element.value.size != 0) put_value(NFTA_SET_ELEM_DATA, element.value);
  if (add && element.verdict != Verdict::kNone) {
    const int code = element.verdict == Verdict::kDrop   ? NF_DROP
                     : element.verdict == Verdict::kGoto ? NFT_GOTO
                                                         : NFT_JUMP;
    const uint32_t wire = htonl(static_cast<uint32_t>(code));
    const size_t data = Nest(NFTA_SET_ELEM_DATA);
    const size_t verdict = Nest(NFTA_DATA_VERDICT);
    Put(NFTA_VERDICT_CODE, std::span(reinterpret_cast<const uint8_t*>(&wire), sizeof(wire)));
    if (!element.chain.empty()) Put(NFTA_VERDICT_CHAIN, element.chain);
    Close(verdict);
    Close(data);
  }
  if (add && !element.comment.empty()) {
    std::vector<uint8_t> user = {kUserComment, static_cast<uint8_t>(element.comment.size() + 1)};
    user.insert(user.end(), element.comment.begin(), element.comment.end());
    user.push_back(0);
    Put(NFTA_SET_ELEM_USERDATA, user);
  }
  Close(listed);
}

void Batch::PutNumber(uint16_t type, uint32_t number) {
  const uint32_t wire = htonl(number);
  Put(type, std::span(reinterpret_cast<const uint8_t*>(&wire), sizeof(wire)));
}

void Batch::BeginRule(uint16_t message, uint16_t flags, const std::string& chain) {
  CloseMessage();
  groups_.push_back(0);
  open_message_ = Begin(Type(message), static_cast<uint16_t>(NLM_F_REQUEST | flags), 0);
  Put(NFTA_RULE_TABLE, kTable);
  Put(NFTA_RULE_CHAIN, chain);
}

std::span<const std::byte> Batch::Finish() {
  CloseMessage();
  // The acknowledgement of the last change says that all went well: the kernel sends it after the commit.
  if (!groups_.empty()) {
    nlmsghdr header;
    std::memcpy(&header, &bytes_[open_message_], sizeof(header));
    header.nlmsg_flags = static_cast<uint16_t>(header.nlmsg_flags | NLM_F_ACK);
    std::memcpy(&bytes_[open_message_], &header, sizeof(header));
  }
  groups_.push_back(0);  // so that the end has a number of its own
  End(Begin(NFNL_MSG_BATCH_END, NLM_F_REQUEST, NFNL_SUBSYS_NFTABLES));
  groups_.pop_back();
  return bytes_;
}

std::optional<size_t> Batch::GroupOf(uint32_t sequence) const {
  if (sequence == 0 || sequence > groups_.size()) return std::nullopt;
  return groups_[sequence - 1];
}

std::vector<Element> ElementsOf(Set set, Family family, const NetlinkMessage& message) {
  std::vector<Element> elements;
  ForEachListed(message, [&](const NetlinkAttribute& listed) {
    Element element = ElementIn(listed);
    element.set = set;
    element.family = family;
    elements.push_back(std::move(element));
  });
  return elements;
}

std::vector<Remembered> RememberedOf(const NetlinkMessage& message) {
  std::vector<Remembered> remembered;
  ForEachListed(message, [&](const NetlinkAttribute& listed) {
    Element element = ElementIn(listed);
    remembered.push_back({element.key, element.value});
  });
  return remembered;
}

}  // namespace fairlead::nftables
