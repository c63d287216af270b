// SPDX-License-Identifier: Apache-2.0
// The servers behind Services: one thread answers on every listening socket of a lab, in whatever namespace.
// TCP, and SCTP where the kernel has it: "<own ip:port> <client ip:port>\n" on accept, then an echo of what
// comes. UDP: the same line followed by the datagram's bytes, as one datagram.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "test/support/client.h"

namespace fairlead::test {

class EchoServer {
 public:
  EchoServer();
  ~EchoServer();
  EchoServer(const EchoServer&) = delete;
  EchoServer& operator=(const EchoServer&) = delete;

  // Listens on every protocol at `at` in `netns`. Again for the same address: nothing. Throws
  // std::runtime_error.
  void Serve(const Namespace& netns, const Target& at);
  // Closes listeners and connections of `at`, as when a pod ends.
  void Stop(const Target& at);
  // Connections accepted and datagrams received at `at` so far.
  uint64_t Count(const Target& at) const;

 private:
  struct Socket;
  void Loop();
  // All with mutex_ held.
  void Add(std::unique_ptr<Socket> socket);
  void Accept(const Socket& listener);
  void Answer(const Socket& datagrams);
  void Echo(Socket& connection);

  Fd epoll_, wake_;
  mutable std::mutex mutex_;  // guards sockets_ and counts_
  std::map<int, std::unique_ptr<Socket>> sockets_;
  std::map<std::string, uint64_t> counts_;
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

}  // namespace fairlead::test
