// SPDX-License-Identifier: Apache-2.0
#include "test/support/https_server.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <csignal>
#include <cstdlib>

namespace fairlead::test {
namespace {

std::string Decode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      out += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string Lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

// "GET target HTTP/1.1\r\nName: value\r\n...".
void ParseHead(std::string_view head, Request& request) {
  const size_t target = head.find(' ') + 1;
  request.target = head.substr(target, head.find(' ', target) - target);
  const size_t question = request.target.find('?');
  request.path = request.target.substr(0, question);
  std::string_view query =
      question == std::string::npos ? "" : std::string_view(request.target).substr(question + 1);
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    const size_t equal = pair.find('=');
    request.query[Decode(pair.substr(0, equal))] = equal == pair.npos ? "" : Decode(pair.substr(equal + 1));
  }
  for (size_t line = head.find("\r\n"); line != head.npos && line + 2 < head.size();) {
    line += 2;
    const size_t end = head.find("\r\n", line);
    const std::string_view text = head.substr(line, end - line);
    const size_t colon = text.find(':');
    if (colon != text.npos) {
      const size_t value = text.find_first_not_of(' ', colon + 1);
      request.headers[Lower(text.substr(0, colon))] = value == text.npos ? "" : text.substr(value);
    }
    line = end;
  }
}

template <typename Parse>
auto FromPem(const std::string& pem, Parse parse) {
  BIO* bio = ::BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  auto object = parse(bio);
  ::BIO_free(bio);
  return object;
}

SSL_CTX* NewContext(const HttpsServer::Options& options) {
  SSL_CTX* context = ::SSL_CTX_new(::TLS_server_method());
  X509* certificate = FromPem(options.keys.certificate,
                              [](BIO* bio) { return ::PEM_read_bio_X509(bio, nullptr, nullptr, nullptr); });
  EVP_PKEY* key = FromPem(options.keys.key,
                          [](BIO* bio) { return ::PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr); });
  if (::SSL_CTX_use_certificate(context, certificate) != 1 || ::SSL_CTX_use_PrivateKey(context, key) != 1)
    std::abort();
  ::X509_free(certificate);
  ::EVP_PKEY_free(key);
  if (!options.client_authority.empty()) {
    X509* authority = FromPem(options.client_authority,
                              [](BIO* bio) { return ::PEM_read_bio_X509(bio, nullptr, nullptr, nullptr); });
    ::X509_STORE_add_cert(::SSL_CTX_get_cert_store(context), authority);
    ::X509_free(authority);
    ::SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  }
  return context;
}

Fd Listen(const std::string& address, uint16_t port, uint16_t& bound) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(sockaddr_in);
  auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  if (::inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
  } else if (::inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    size = sizeof(sockaddr_in6);
  } else {
    std::abort();
  }
  v4->sin_port = htons(port);  // at the same place in both
  Fd fd(::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int one = 1;
  ::setsockopt(fd.Get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (::bind(fd.Get(), reinterpret_cast<sockaddr*>(&storage), size) != 0 || ::listen(fd.Get(), 128) != 0) {
    std::perror(("listen on " + address).c_str());
    std::abort();
  }
  ::getsockname(fd.Get(), reinterpret_cast<sockaddr*>(&storage), &size);
  bound = ntohs(v4->sin_port);
  return fd;
}

}  // namespace

std::string Request::Query(const std::string& name) const {
  const auto found = query.find(name);
  return found == query.end() ? "" : found->second;
}

std::string Request::Header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

Connection::Connection(Fd socket, ssl_ctx_st* context)
    : socket_(std::move(socket)), ssl_(::SSL_new(context)) {
  const int one = 1;
  ::setsockopt(socket_.Get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  ::SSL_set_fd(ssl_, socket_.Get());
}

Connection::~Connection() {
  ::SSL_free(ssl_);
}

bool Connection::Handshake() {
  return ::SSL_accept(ssl_) == 1;
}

bool Connection::ReadRequest(Request& request) {
  std::array<char, 4096> piece;
  size_t end;
  while ((end = input_.find("\r\n\r\n")) == std::string::npos) {
    const int count = ::SSL_read(ssl_, piece.data(), static_cast<int>(piece.size()));
    if (count <= 0) return false;
    input_.append(piece.data(), static_cast<size_t>(count));
  }
  request = {};
  ParseHead(std::string_view(input_).substr(0, end + 2), request);
  input_.erase(0, end + 4);
  if (X509* peer = ::SSL_get0_peer_certificate(ssl_)) {
    std::array<char, 256> name{};
    ::X509_NAME_get_text_by_NID(::X509_get_subject_name(peer), NID_commonName, name.data(), name.size());
    request.client = name.data();
  }
  if (const char* sni = ::SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name)) request.sni = sni;
  return true;
}

bool Connection::Write(std::string_view bytes) {
  std::lock_guard lock(mutex_);
  while (!bytes.empty()) {
    const int count =
        ::SSL_write(ssl_, bytes.data(), static_cast<int>(std::min<size_t>(bytes.size(), 1 << 20)));
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

void Connection::Close() {
  std::lock_guard lock(mutex_);
  ::SSL_shutdown(ssl_);
  ::shutdown(socket_.Get(), SHUT_RDWR);
}

void Connection::Reset() {
  const linger now{1, 0};
  ::setsockopt(socket_.Get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

void Connection::Shutdown() {
  ::shutdown(socket_.Get(), SHUT_RDWR);
}

bool Connection::Quiet(std::chrono::milliseconds time) {
  pollfd waiting{socket_.Get(), POLLIN, 0};
  return ::poll(&waiting, 1, static_cast<int>(std::max<int64_t>(time.count(), 0))) == 0;
}

HttpsServer::HttpsServer(const Options& options, Handler handler)
    : context_(NewContext(options)),
      listener_(Listen(options.address, options.port, port_)),
      handler_(std::move(handler)) {
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to sockets without MSG_NOSIGNAL
  acceptor_ = std::thread([this] { Accept(); });
}

HttpsServer::~HttpsServer() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    ::shutdown(listener_.Get(), SHUT_RDWR);
    for (const auto& connection : connections_) connection->Shutdown();
  }
  acceptor_.join();
  for (std::thread& thread : threads_) thread.join();
  ::SSL_CTX_free(context_);
}

void HttpsServer::CloseConnections() {
  std::lock_guard lock(mutex_);
  for (const auto& connection : connections_) connection->Shutdown();
}

void HttpsServer::Accept() {
  while (true) {
    Fd socket(::accept4(listener_.Get(), nullptr, nullptr, SOCK_CLOEXEC));
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    if (!socket) continue;
    auto connection = std::make_shared<Connection>(std::move(socket), context_);
    connections_.push_back(connection);
    threads_.emplace_back([this, connection] { Serve(*connection); });
  }
}

void HttpsServer::Serve(Connection& connection) {
  Request request;
  bool open = connection.Handshake();
  while (open && connection.ReadRequest(request)) open = handler_(request, connection) == After::kKeepAlive;
  std::lock_guard lock(mutex_);
  std::erase_if(connections_, [&](const auto& known) { return known.get() == &connection; });
}

}  // namespace fairlead::test
