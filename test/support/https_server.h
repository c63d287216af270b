// SPDX-License-Identifier: Apache-2.0
// A TLS server for tests: one thread a connection, one handler for all requests. It writes exactly the bytes
// it is told to, well-formed or not.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "agent/base/fd.h"
#include "test/support/certificates.h"

struct ssl_ctx_st;
struct ssl_st;

namespace fairlead::test {

struct Request {
  std::string target;                          // as sent
  std::string path;                            // up to the '?'
  std::map<std::string, std::string> query;    // percent-decoded
  std::map<std::string, std::string> headers;  // names in lower case
  std::string client;                          // common name of the client's certificate; empty: none
  std::string sni;

  std::string Query(const std::string& name) const;
  std::string Header(const std::string& name) const;
};

// The server's side of a connection. Write may be called from any thread.
class Connection {
 public:
  Connection(Fd socket, ssl_ctx_st* context);
  ~Connection();

  bool Handshake();
  bool ReadRequest(Request& request);  // false: the peer is gone
  bool Write(std::string_view bytes);
  void Close();     // orderly: close_notify, then FIN
  void Reset();     // its destruction sends RST instead of FIN
  void Shutdown();  // FIN in the midst of things; from another thread it wakes whoever waits on it
  // False if the peer closed, or sent something, before `time` was over.
  bool Quiet(std::chrono::milliseconds time);

 private:
  std::mutex mutex_;
  Fd socket_;
  ssl_st* ssl_;
  std::string input_;
};

enum class After { kKeepAlive, kClose };

class HttpsServer {
 public:
  struct Options {
    std::string address = "127.0.0.1";
    uint16_t port = 0;  // 0: any
    KeyPair keys;
    std::string client_authority;  // PEM; client certificates are asked for, and checked against it
  };
  using Handler = std::function<After(const Request&, Connection&)>;

  HttpsServer(const Options& options, Handler handler);  // aborts if it cannot listen
  ~HttpsServer();                                        // closes every connection

  uint16_t port() const { return port_; }
  void CloseConnections();  // breaks all of them; the server goes on

 private:
  void Accept();
  void Serve(Connection& connection);

  ssl_ctx_st* context_ = nullptr;
  uint16_t port_ = 0;
  Fd listener_;
  Handler handler_;
  std::mutex mutex_;
  bool stopping_ = false;
  std::vector<std::shared_ptr<Connection>> connections_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace fairlead::test
