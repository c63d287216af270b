// SPDX-License-Identifier: Apache-2.0
// Client and server sockets of two network namespaces in one thread. The kernel then does all the work of a
// connection on this thread's time, and no scheduler stands between the two ends. Whatever fails ends the
// program with a message: a bench has nothing to save. Addresses and ports are in host order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "agent/base/fd.h"

namespace fairlead::bench {

[[noreturn]] void Die(const std::string& what);         // "what"
[[noreturn]] void DieOfErrno(const std::string& what);  // "what: strerror(errno)"

void EnterNetns(const std::string& pin);
uint32_t ParseIpv4(const std::string& text);
std::string FormatIpv4(uint32_t ip);

// Sockets made from now on belong to this cgroup: its connect hooks apply to them.
void EnterCgroup(const std::string& directory);
// One CPU for this thread, and precedence over other programs there where that is allowed.
void Settle(int cpu);

// Listens on every address of the present namespace.
Fd Listen(uint16_t port);
Fd TcpSocket();
// Blocks until established. Both ends give up after 5 s.
void Connect(const Fd& client, uint32_t ip, uint16_t port);
Fd Accept(const Fd& listener);
uint32_t LocalIp(const Fd& socket);
void NoDelay(const Fd& socket);
// Close sends RST: the port is free at once, and millions of connections leave no TIME_WAIT.
void CloseHard(Fd& socket);

void SendByte(const Fd& socket);
void ReceiveByte(const Fd& socket);
// Moves so many bytes from one end to the other.
void Stream(const Fd& from, const Fd& to, size_t bytes);

}  // namespace fairlead::bench
