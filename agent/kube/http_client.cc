// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/http_client.h"

#include <cpprest/http_client.h>
#include <openssl/ssl.h>
#include <pplx/threadpool.h>

#include <charconv>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <vector>

#include "agent/kube/gzip.h"
#include "agent/kube/tls.h"
#include "agent/kube/token.h"

namespace fairlead::kube {
namespace {

// Bytes that wait for their reader before the connection is held back.
constexpr size_t kHoldBackAt = 1 << 20;

// One thread serves all connections: a cancellation posted to it cannot race with the handlers it cancels.
void StartThreadPool() {
  static std::once_flag once;
  std::call_once(once, [] {
    try {
      crossplat::threadpool::initialize_with_threads(1);
    } catch (const std::exception&) {
      // Somebody in this process started the pool before, with threads of his own choice.
    }
  });
}

}  // namespace

// One request and its response, between the library's thread, which fills it, and the reader's.
struct HttpResponse::Exchange {
  struct Segment {
    std::string bytes;
    TimePoint received;
  };

  std::mutex mutex;
  std::condition_variable changed;
  bool has_headers = false;
  bool ended = false;   // no more bytes will come
  std::string failure;  // why, if not in order
  bool cancelled = false;
  std::deque<Segment> body;
  size_t waiting_bytes = 0;
  std::optional<std::pair<pplx::task_completion_event<size_t>, size_t>>
      held_back;  // and the count it waits for

  // Set before has_headers, constant after.
  int status = 0;
  std::chrono::seconds retry_after{0};

  // The reader's own.
  std::optional<Gunzip> gunzip;
  TimePoint received;

  pplx::cancellation_token_source cancellation;

  pplx::task<size_t> Put(const uint8_t* bytes, size_t count) {
    const auto now = std::chrono::steady_clock::now();
    std::lock_guard lock(mutex);
    if (cancelled) return pplx::task_from_result(count);
    body.push_back({std::string(reinterpret_cast<const char*>(bytes), count), now});
    waiting_bytes += count;
    changed.notify_one();
    if (waiting_bytes < kHoldBackAt) return pplx::task_from_result(count);
    held_back.emplace(pplx::task_completion_event<size_t>(), count);
    return pplx::create_task(held_back->first);
  }

  void End(std::string why) {
    std::lock_guard lock(mutex);
    if (!ended) failure = std::move(why);
    ended = true;
    changed.notify_one();
  }

  // Lets the sender go on. With the mutex held.
  void Release() {
    if (held_back) held_back->first.set(held_back->second);
    held_back.reset();
  }

  static void Cancel(const std::shared_ptr<Exchange>& exchange) {
    {
      std::lock_guard lock(exchange->mutex);
      if (exchange->cancelled) return;
      exchange->cancelled = true;
      exchange->body.clear();
      exchange->waiting_bytes = 0;
      exchange->Release();
      exchange->changed.notify_one();
      if (exchange->ended) return;
    }
    crossplat::threadpool::shared_instance().service().post([exchange] { exchange->cancellation.cancel(); });
  }

  // Waits for headers, bytes or the end; with the mutex held.
  template <typename Predicate>
  Result<> Wait(std::unique_lock<std::mutex>& lock, TimePoint deadline, Predicate ready) {
    const auto start = std::chrono::steady_clock::now();
    const bool in_time = changed.wait_until(lock, deadline, [&] { return cancelled || ready(); });
    if (cancelled) return Unexpected(Error{ErrorKind::kUnavailable, ECANCELED, "stopped"});
    if (in_time) return {};
    const auto waited = std::chrono::steady_clock::now() - start;
    return Unexpected(Error{ErrorKind::kUnavailable, ETIMEDOUT,
                            fmt::format("nothing came for {} ms", waited / std::chrono::milliseconds(1))});
  }
};

namespace {

using Exchange = HttpResponse::Exchange;

// A write-only stream buffer of the library that hands every chunk to the exchange as it arrives.
class BodyBuffer : public concurrency::streams::details::streambuf_state_manager<uint8_t> {
 public:
  using Base = concurrency::streams::details::streambuf_state_manager<uint8_t>;
  explicit BodyBuffer(std::shared_ptr<Exchange> exchange)
      : Base(std::ios_base::out), exchange_(std::move(exchange)) {}

 protected:
  pplx::task<size_t> _putn(const uint8_t* bytes, size_t count, bool) override {
    return exchange_->Put(bytes, count);
  }
  pplx::task<size_t> _putn(const uint8_t* bytes, size_t count) override {
    return exchange_->Put(bytes, count);
  }
  pplx::task<int_type> _putc(uint8_t byte) override {
    return exchange_->Put(&byte, 1).then([byte](size_t) { return static_cast<int_type>(byte); });
  }
  pplx::task<bool> _sync() override { return pplx::task_from_result(true); }

  // A buffer without a reading side, positions or memory of its own.
  bool can_seek() const override { return false; }
  bool has_size() const override { return false; }
  size_t buffer_size(std::ios_base::openmode) const override { return 0; }
  void set_buffer_size(size_t, std::ios_base::openmode) override {}
  size_t in_avail() const override { return 0; }
  pos_type getpos(std::ios_base::openmode) const override { return traits::eof(); }
  pos_type seekpos(pos_type, std::ios_base::openmode) override { return traits::eof(); }
  pos_type seekoff(off_type, std::ios_base::seekdir, std::ios_base::openmode) override {
    return traits::eof();
  }
  bool acquire(uint8_t*& bytes, size_t& count) override {
    bytes = nullptr;
    count = 0;
    return false;
  }
  void release(uint8_t*, size_t) override {}
  uint8_t* _alloc(size_t) override { return nullptr; }
  void _commit(size_t) override {}
  pplx::task<int_type> _bumpc() override { return pplx::task_from_result<int_type>(traits::eof()); }
  int_type _sbumpc() override { return traits::eof(); }
  pplx::task<int_type> _getc() override { return pplx::task_from_result<int_type>(traits::eof()); }
  int_type _sgetc() override { return traits::eof(); }
  pplx::task<int_type> _nextc() override { return pplx::task_from_result<int_type>(traits::eof()); }
  pplx::task<int_type> _ungetc() override { return pplx::task_from_result<int_type>(traits::eof()); }
  pplx::task<size_t> _getn(uint8_t*, size_t) override { return pplx::task_from_result<size_t>(0); }
  size_t _scopy(uint8_t*, size_t) override { return 0; }

 private:
  std::shared_ptr<Exchange> exchange_;
};

class BodyStream : public concurrency::streams::streambuf<uint8_t> {
 public:
  explicit BodyStream(std::shared_ptr<Exchange> exchange)
      : streambuf(std::make_shared<BodyBuffer>(std::move(exchange))) {}
};

// Retry-After in seconds; its other form, a date, is not used by API servers.
std::chrono::seconds RetryAfter(const web::http::http_headers& headers) {
  utility::string_t text;
  int seconds = 0;
  if (headers.match(web::http::header_names::retry_after, text)) {
    std::from_chars(text.data(), text.data() + text.size(), seconds);
  }
  return std::chrono::seconds(std::max(seconds, 0));
}

void TakeHeaders(Exchange& exchange, const web::http::http_response& response) {
  utility::string_t encoding;
  const bool gzip =
      response.headers().match(web::http::header_names::content_encoding, encoding) && encoding == "gzip";
  std::lock_guard lock(exchange.mutex);
  exchange.status = response.status_code();
  exchange.retry_after = RetryAfter(response.headers());
  if (gzip) exchange.gunzip.emplace();
  exchange.has_headers = true;
  exchange.changed.notify_one();
}

// Runs when the body is complete or the connection broke.
void TakeEnd(const std::shared_ptr<Exchange>& exchange, const pplx::task<web::http::http_response>& ended) {
  try {
    ended.get();
    exchange->End("");
  } catch (const std::exception& e) {
    exchange->End(fmt::format("connection broke: {}", e.what()));
  }
}

void TakeResponse(const std::shared_ptr<Exchange>& exchange,
                  const pplx::task<web::http::http_response>& sent) {
  try {
    const web::http::http_response response = sent.get();
    TakeHeaders(*exchange, response);
    response.content_ready().then(
        [exchange](pplx::task<web::http::http_response> ended) { TakeEnd(exchange, ended); });
  } catch (const std::exception& e) {
    exchange->End(e.what());
  }
}

}  // namespace

HttpResponse::HttpResponse(std::shared_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}
HttpResponse::HttpResponse(HttpResponse&&) noexcept = default;
HttpResponse& HttpResponse::operator=(HttpResponse&& other) noexcept {
  std::swap(exchange_, other.exchange_);
  return *this;
}
HttpResponse::~HttpResponse() {
  if (exchange_) Exchange::Cancel(exchange_);
}

int HttpResponse::status() const {
  return exchange_->status;
}
std::chrono::seconds HttpResponse::retry_after() const {
  return exchange_->retry_after;
}
TimePoint HttpResponse::received() const {
  return exchange_->received;
}

Result<bool> HttpResponse::Read(std::string& into, TimePoint deadline) {
  Exchange& exchange = *exchange_;
  Exchange::Segment segment;
  {
    std::unique_lock lock(exchange.mutex);
    auto ready = exchange.Wait(lock, deadline, [&] { return !exchange.body.empty() || exchange.ended; });
    if (!ready) return Unexpected(ready.error());
    if (exchange.body.empty()) {
      if (!exchange.failure.empty()) return Fail(ErrorKind::kUnavailable, "{}", exchange.failure);
      if (exchange.gunzip && !exchange.gunzip->Finished()) {
        return Fail(ErrorKind::kUnavailable, "gzip body ends early");
      }
      return false;
    }
    segment = std::move(exchange.body.front());
    exchange.body.pop_front();
    exchange.waiting_bytes -= segment.bytes.size();
    if (exchange.waiting_bytes < kHoldBackAt) exchange.Release();
  }
  exchange.received = segment.received;
  if (!exchange.gunzip) {
    into += segment.bytes;
    return true;
  }
  if (auto fed = exchange.gunzip->Feed(segment.bytes, into); !fed) return Unexpected(fed.error());
  return true;
}

struct HttpClient::Impl {
  ApiAccess access;
  Token token;
  std::shared_ptr<TlsVerdict> verdict = std::make_shared<TlsVerdict>();
  std::unique_ptr<web::http::client::http_client> client;

  std::mutex mutex;
  bool stopped = false;
  std::vector<std::weak_ptr<Exchange>> exchanges;

  explicit Impl(ApiAccess from) : access(std::move(from)), token(access.token, access.token_file) {}

  void SetUpClient();
  web::http::http_request MakeRequest(const std::string& target, bool compressed,
                                      const std::string& bearer) const;
  bool Register(const std::shared_ptr<Exchange>& exchange);
  Unexpected Unreachable(const std::string& why) const;
};

void HttpClient::Impl::SetUpClient() {
  web::http::client::http_client_config config;
  // Deadlines are the caller's; the library's own timeout only ends what everybody has forgotten.
  config.set_timeout(std::chrono::hours(1));
  config.set_max_redirects(0);
  config.set_validate_certificates(!access.insecure_skip_tls_verify);
  const std::string host = HostOf(access.server);
  config.set_tlsext_sni_enabled(!access.tls_server_name.empty() || !IsAddress(host));
  config.set_ssl_context_callback([from = access, seen = verdict](boost::asio::ssl::context& context) {
    auto set = SetUpTls(from, context.native_handle(), seen);
    if (!set) throw std::runtime_error(set.error().message);
  });
  // The resolver wants IPv6 addresses without the brackets they have in a URL.
  web::uri_builder base{web::uri(access.server)};
  base.set_host(host);
  client = std::make_unique<web::http::client::http_client>(base.to_uri(), config);
}

web::http::http_request HttpClient::Impl::MakeRequest(const std::string& target, bool compressed,
                                                      const std::string& bearer) const {
  web::http::http_request request(web::http::methods::GET);
  request.set_request_uri(web::uri(target));
  auto& headers = request.headers();
  headers.add(web::http::header_names::accept, "application/json");
  headers.add(web::http::header_names::user_agent, "fairlead/" FAIRLEAD_VERSION);
  if (compressed && !access.disable_compression)
    headers.add(web::http::header_names::accept_encoding, "gzip");
  if (!bearer.empty()) headers.add(web::http::header_names::authorization, "Bearer " + bearer);
  // The library takes the name for SNI from the Host header.
  const std::string host = HostOf(access.server);
  if (!access.tls_server_name.empty()) {
    headers.add(web::http::header_names::host, access.tls_server_name);
  } else if (host.find(':') != std::string::npos) {
    headers.add(web::http::header_names::host, "[" + host + "]");
  }
  return request;
}

// False once the client is stopped.
bool HttpClient::Impl::Register(const std::shared_ptr<Exchange>& exchange) {
  std::lock_guard lock(mutex);
  std::erase_if(exchanges, [](const auto& old) { return old.expired(); });
  if (!stopped) exchanges.push_back(exchange);
  return !stopped;
}

Unexpected HttpClient::Impl::Unreachable(const std::string& why) const {
  const std::string verdict_text = verdict->Get();
  if (why.find("SSL handshake") != std::string::npos && !verdict_text.empty()) {
    return Fail(ErrorKind::kUnavailable, "certificate not trusted: {}", verdict_text);
  }
  return Fail(ErrorKind::kUnavailable, "{}", why);
}

HttpClient::HttpClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpClient::~HttpClient() {
  Stop();
}

Result<std::unique_ptr<HttpClient>> HttpClient::Create(ApiAccess access) {
  auto impl = std::make_unique<Impl>(std::move(access));
  std::unique_ptr<SSL_CTX, decltype(&::SSL_CTX_free)> trial(::SSL_CTX_new(::TLS_client_method()),
                                                            &::SSL_CTX_free);
  if (auto set = SetUpTls(impl->access, trial.get(), impl->verdict); !set) return Unexpected(set.error());
  StartThreadPool();
  try {
    impl->SetUpClient();
  } catch (const std::exception& e) {
    return Fail(ErrorKind::kInvalid, "{}: expected https://HOST:PORT: {}", impl->access.server, e.what());
  }
  return std::unique_ptr<HttpClient>(new HttpClient(std::move(impl)));
}

Result<HttpResponse> HttpClient::Get(const std::string& target, bool compressed, TimePoint deadline) {
  auto bearer = impl_->token.Get(std::chrono::steady_clock::now());
  if (!bearer) return Unexpected(bearer.error());
  auto exchange = std::make_shared<Exchange>();
  HttpResponse response(exchange);
  if (!impl_->Register(exchange)) return Unexpected(Error{ErrorKind::kUnavailable, ECANCELED, "stopped"});
  try {
    auto request = impl_->MakeRequest(target, compressed, *bearer);
    request.set_response_stream(BodyStream(exchange).create_ostream());
    impl_->client->request(request, exchange->cancellation.get_token())
        .then([exchange](pplx::task<web::http::http_response> sent) { TakeResponse(exchange, sent); });
  } catch (const std::exception& e) {
    return impl_->Unreachable(e.what());
  }
  std::unique_lock lock(exchange->mutex);
  auto ready = exchange->Wait(lock, deadline, [&] { return exchange->has_headers || exchange->ended; });
  if (!ready) return Unexpected(ready.error());
  if (!exchange->has_headers) return impl_->Unreachable(exchange->failure);
  lock.unlock();
  return response;
}

void HttpClient::TokenRefused() {
  impl_->token.Refused();
}

void HttpClient::Stop() {
  std::vector<std::weak_ptr<Exchange>> exchanges;
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stopped = true;
    exchanges.swap(impl_->exchanges);
  }
  for (const auto& weak : exchanges) {
    if (auto exchange = weak.lock()) Exchange::Cancel(exchange);
  }
}

const ApiAccess& HttpClient::access() const {
  return impl_->access;
}

}  // namespace fairlead::kube
