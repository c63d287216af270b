// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/manifests_pack.h"

#include <concepts>
#include <cstring>
#include <type_traits>

namespace fairlead::kube {

namespace {

template <typename T, typename Of>
concept Either = std::same_as<std::remove_const_t<T>, Of>;

// The members of each struct, for both directions. Bindings rather than names: a member added in objects.h
// does not compile here until it is packed too.
template <typename A>
void Members(A& archive, Either<ObjectName> auto& object) {
  auto& [ns, name] = object;
  archive(ns, name);
}
template <typename A>
void Members(A& archive, Either<Cidr> auto& object) {
  auto& [base, bits] = object;
  archive(base, bits);
}
template <typename A>
void Members(A& archive, Either<ServicePort> auto& object) {
  auto& [name, protocol, port, node_port] = object;
  archive(name, protocol, port, node_port);
}
template <typename A>
void Members(A& archive, Either<Service> auto& object) {
  auto& [name, creation, type, other_proxy, cluster_ips, ports, external_ips, load_balancer_ips,
         source_ranges, internal_local, external_local, affinity_timeout, health_check, settings] = object;
  archive(name, creation, type, other_proxy, cluster_ips, ports, external_ips, load_balancer_ips,
          source_ranges, internal_local, external_local, affinity_timeout, health_check, settings);
}
template <typename A>
void Members(A& archive, Either<Endpoint> auto& object) {
  auto& [address, ready, serving, terminating, node_name, zone_hints, node_hints] = object;
  archive(address, ready, serving, terminating, node_name, zone_hints, node_hints);
}
template <typename A>
void Members(A& archive, Either<SlicePort> auto& object) {
  auto& [name, protocol, port] = object;
  archive(name, protocol, port);
}
template <typename A>
void Members(A& archive, Either<EndpointSlice> auto& object) {
  auto& [name, service, headless, fqdn, family, ports, endpoints, trigger_time] = object;
  archive(name, service, headless, fqdn, family, ports, endpoints, trigger_time);
}
template <typename A>
void Members(A& archive, Either<Node> auto& object) {
  auto& [name, zone, internal_ips, pod_cidrs, being_deleted, to_be_deleted_taint] = object;
  archive(name, zone, internal_ips, pod_cidrs, being_deleted, to_be_deleted_taint);
}
template <typename A>
void Members(A& archive, Either<ServiceCidr> auto& object) {
  auto& [name, cidrs] = object;
  archive(name, cidrs);
}

template <typename T>
concept Plain = std::is_arithmetic_v<T> || std::is_enum_v<T> || std::same_as<T, Address>;

class Packer {
 public:
  template <typename... T>
  void operator()(const T&... values) {
    (Write(values), ...);
  }
  std::string Take() { return std::move(out_); }

 private:
  template <Plain T>
  void Write(const T& value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void WriteSize(size_t size) {  // seven bits a byte, low ones first: almost always one byte
    for (; size >= 0x80; size >>= 7) out_.push_back(static_cast<char>(size | 0x80));
    out_.push_back(static_cast<char>(size));
  }
  void Write(std::string_view text) {
    WriteSize(text.size());
    out_.append(text);
  }
  void Write(const std::string& text) { Write(std::string_view(text)); }
  void Write(const Symbol& symbol) { Write(symbol.View()); }
  template <typename T>
  void Write(const std::vector<T>& values) {
    WriteSize(values.size());
    for (const T& value : values) Write(value);
  }
  void Write(const std::map<std::string, std::string>& values) {
    WriteSize(values.size());
    for (const auto& [key, value] : values) (*this)(key, value);
  }
  template <typename T>
  void Write(const T& object) {
    Members(*this, object);
  }

  std::string out_;
};

class Unpacker {
 public:
  explicit Unpacker(std::string_view in) : in_(in) {}
  template <typename... T>
  void operator()(T&... values) {
    (Read(values), ...);
  }

 private:
  std::string_view Bytes(size_t size) {
    std::string_view bytes = in_.substr(0, size);
    in_.remove_prefix(size);
    return bytes;
  }
  template <Plain T>
  void Read(T& value) {
    std::memcpy(&value, Bytes(sizeof(value)).data(), sizeof(value));
  }
  size_t ReadSize() {
    size_t size = 0;
    for (unsigned shift = 0;; shift += 7) {
      auto byte = static_cast<unsigned char>(Bytes(1)[0]);
      size |= static_cast<size_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return size;
    }
  }
  void Read(std::string& text) { text = Bytes(ReadSize()); }
  void Read(Symbol& symbol) { symbol = Symbol(Bytes(ReadSize())); }
  template <typename T>
  void Read(std::vector<T>& values) {
    values.resize(ReadSize());
    for (T& value : values) Read(value);
  }
  void Read(std::map<std::string, std::string>& values) {
    for (size_t left = ReadSize(); left > 0; --left) {
      std::string key;
      std::string value;
      (*this)(key, value);
      values.emplace_hint(values.end(), std::move(key), std::move(value));
    }
  }
  template <typename T>
  void Read(T& object) {
    Members(*this, object);
  }

  std::string_view in_;
};

template <typename T>
Object UnpackAs(std::string_view packed) {
  T object;
  Unpacker unpack(packed);
  unpack(object);
  return object;
}

}  // namespace

std::string Pack(const Object& object) {
  Packer packer;
  packer(KindOf(object));
  std::visit([&](const auto& value) { packer(value); }, object);
  std::string packed = packer.Take();
  packed.shrink_to_fit();
  return packed;
}

Object Unpack(std::string_view packed) {
  auto kind = static_cast<Kind>(packed.front());
  packed.remove_prefix(1);
  switch (kind) {
    case Kind::kService:
      return UnpackAs<Service>(packed);
    case Kind::kEndpointSlice:
      return UnpackAs<EndpointSlice>(packed);
    case Kind::kNode:
      return UnpackAs<Node>(packed);
    case Kind::kServiceCidr:
      return UnpackAs<ServiceCidr>(packed);
  }
  return Service{};
}

}  // namespace fairlead::kube
