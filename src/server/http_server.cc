// The only source that includes Boost.Asio and Beast, whose templates compile slowly: Beast parses requests, Asio
// waits.
#include "server/http_server.h"

// Asio's fences are for handlers that move between threads; ours stay on one. The thread sanitizer knows no fences.
#define BOOST_ASIO_DISABLE_FENCED_BLOCK

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <csignal>
#include <ctime>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/file_handle.h"

namespace eyeshot::server {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using SteadyClock = std::chrono::steady_clock;

// NOLINTBEGIN(bugprone-unused-return-value): Asio gives an error both as the value and by a reference.

// How long, after an answer that ends a connection, what the client still sends is read and forgotten: closing at once
// would make its system discard the answer.
constexpr std::chrono::seconds kLingerTime{2};
constexpr std::chrono::milliseconds kAcceptRetryTime{100};  // after accept() failed for lack of descriptors

// Wakes the connections' thread: writing to an eventfd neither allocates nor locks. Outlives the server where an
// exchange does.
class Waker {
 public:
  int fd() const { return event_.get(); }
  void Wake() const noexcept {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(fd(), &one, sizeof(one));  // fails only where it is awake anyway
  }

 private:
  FileHandle event_{eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
};

// "Thu, 26 Nov 2026 15:00:00 GMT"
std::string HttpDate() {
  const std::time_t now = std::time(nullptr);
  std::tm utc = {};
  gmtime_r(&now, &utc);
  char text[64];
  const size_t length = std::strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return {text, length};
}

class ServerImpl;
class Connection;

class Exchange final : public HttpExchange, public std::enable_shared_from_this<Exchange> {
 public:
  Exchange(asio::io_context& context, std::shared_ptr<const Waker> waker, Connection& connection)
      : context_(context), waker_(std::move(waker)), connection_(&connection) {}

  void Send(HttpResponse response) override;
  void Attach(std::shared_ptr<HttpProducer> producer) override;
  void Notify() noexcept override {
    notified_.store(true, std::memory_order_release);
    waker_->Wake();
  }
  void Begin(HttpResponse head) override;
  void Write(std::string_view piece) override;
  void End() override;

  // By the connections' thread.
  bool TakeNotified() { return producer_ != nullptr && notified_.exchange(false, std::memory_order_acquire); }
  void Pump() {
    const std::shared_ptr<HttpProducer> producer = producer_;
    if (producer != nullptr) producer->Pump(*this);
  }
  // The answer has ended, or the client has gone.
  void Detach(bool gone) {
    connection_ = nullptr;
    gone_ = gone;
    const std::shared_ptr<HttpProducer> producer = std::move(producer_);
    if (gone && producer != nullptr) producer->OnGone();
  }

 private:
  asio::io_context& context_;
  const std::shared_ptr<const Waker> waker_;
  std::atomic<bool> notified_{false};
  // Of the connections' thread.
  Connection* connection_;  // null: detached
  bool gone_ = false;
  std::shared_ptr<HttpProducer> producer_;
};

// One client: reads a request, waits for its answer, writes it, and reads the next. Lives while an operation of its own
// is under way.
class Connection final : public std::enable_shared_from_this<Connection> {
 public:
  Connection(ServerImpl& server, tcp::socket socket, std::string address)
      : server_(server), stream_(std::move(socket)), address_(std::move(address)) {}

  void Start() { ReadHead(); }
  const std::string& address() const { return address_; }
  Exchange* exchange() const { return exchange_.get(); }
  bool idle() const { return !in_request_; }
  // The client has gone, or is cut off.
  void Drop();

  // Of the exchange.
  void Reply(const HttpResponse& response);
  void Begin(const HttpResponse& head);
  void Write(std::string_view piece);
  void End();

 private:
  using Parser = http::request_parser<http::string_body>;

  void ReadHead();
  void OnHead(error_code error);
  void FillHead();
  bool TakeBodyRoom();
  void Continue();
  void ReadBody();
  void OnBody(error_code error, size_t bytes);
  void OnReadError(error_code error);
  void Dispatch();
  void Watch();
  void OnReadable(uint64_t generation);
  void Refuse(const HttpResponse& response);
  void AddHead(const HttpResponse& response, std::optional<uint64_t> length);
  void Flush();
  void OnWritten(error_code error);
  void OnAnswered();
  void Linger();
  void Close();

  ServerImpl& server_;
  beast::tcp_stream stream_;
  const std::string address_;
  beast::flat_buffer buffer_{limits::kMaxHeaderBytes + 65536};  // a head, and a piece of a body
  std::optional<Parser> parser_;
  HttpRequest head_;
  std::shared_ptr<Exchange> exchange_;  // null: no request waits for its answer
  SteadyClock::time_point began_;  // of the request, when its head was there
  uint64_t body_bytes_ = 0;  // that have come
  uint64_t generation_ = 0;  // of watching for the client's end
  std::string outgoing_, writing_;
  int status_ = 0;
  bool first_ = true;  // no request yet
  bool in_request_ = false;  // a head was read and its answer is not written
  bool keep_alive_ = false;
  bool head_only_ = false;  // HEAD
  bool http_1_0_ = false;
  bool chunked_ = false;
  bool ended_ = false;  // the answer is complete in outgoing_
  bool closed_ = false;
  std::array<char, 4096> discarded_ = {};
};

class ServerImpl final : public HttpServer {
 public:
  ServerImpl(HttpOptions options, HttpHandler& handler)
      : options_(std::move(options)),
        handler_(handler),
        acceptor_(context_),
        waker_(std::make_shared<Waker>()),
        wake_(context_, dup(waker_->fd())),
        signals_(context_),
        timer_(context_),
        finish_timer_(context_) {}
  ~ServerImpl() override { DropAll(); }

  Status Open();
  uint16_t port() const override { return port_; }
  void Run() override;
  void Post(std::function<void()> task) override { asio::post(context_, std::move(task)); }
  void CatchSignals(std::function<void()> on_signal) override;
  void Finish(std::chrono::milliseconds grace) override;
  void Stop() override { context_.stop(); }
  HttpStats stats() const override {
    return {.connections = open_.load(), .accepted = accepted_, .refused = refused_, .dropped = dropped_};
  }

  const HttpOptions& options() const { return options_; }
  HttpHandler& handler() { return handler_; }
  std::shared_ptr<Exchange> NewExchange(Connection& connection) {
    return std::make_shared<Exchange>(context_, waker_, connection);
  }
  void Remove(Connection& connection);
  void CountDropped() { ++dropped_; }
  bool finishing() const { return finishing_; }
  // Room for so many bytes of a body until the result is destroyed; null: there is none.
  std::shared_ptr<void> TakeBodyRoom(uint64_t bytes);

 private:
  void Accept();
  void OnAccepted(tcp::socket socket);
  void WaitForWake();
  void PumpNotified();
  void WaitForSignal();
  void DropAll();

  HttpOptions options_;
  HttpHandler& handler_;
  asio::io_context context_{1};
  tcp::acceptor acceptor_;
  std::shared_ptr<Waker> waker_;
  asio::posix::stream_descriptor wake_;
  asio::signal_set signals_;
  asio::steady_timer timer_, finish_timer_;
  std::function<void()> on_signal_;
  uint16_t port_ = 0;
  bool finishing_ = false;
  std::set<std::shared_ptr<Connection>> connections_;
  std::map<std::string, int> by_address_;
  std::shared_ptr<std::atomic<uint64_t>> body_bytes_ = std::make_shared<std::atomic<uint64_t>>(0);
  std::atomic<int64_t> open_{0};
  std::atomic<uint64_t> accepted_{0}, refused_{0}, dropped_{0};
};

// --- Exchange

void Exchange::Send(HttpResponse response) {
  asio::post(context_, [self = shared_from_this(), response = std::move(response)] {
    if (self->connection_ != nullptr) self->connection_->Reply(response);
  });
}

void Exchange::Attach(std::shared_ptr<HttpProducer> producer) {
  asio::post(context_, [self = shared_from_this(), producer = std::move(producer)] {
    if (self->connection_ == nullptr) {
      if (self->gone_) producer->OnGone();
      return;
    }
    self->producer_ = producer;
    if (self->TakeNotified()) self->Pump();
  });
}

void Exchange::Begin(HttpResponse head) {
  if (connection_ != nullptr) connection_->Begin(head);
}
void Exchange::Write(std::string_view piece) {
  if (connection_ != nullptr) connection_->Write(piece);
}
void Exchange::End() {
  if (connection_ != nullptr) connection_->End();
}

// --- Connection: reading

void Connection::ReadHead() {
  parser_.emplace();
  parser_->header_limit(limits::kMaxHeaderBytes);
  parser_->body_limit(server_.options().max_body_bytes);
  // What goes wrong from here on is not the last request's.
  head_ = {.address = address_};
  in_request_ = keep_alive_ = head_only_ = http_1_0_ = false;
  stream_.expires_after(first_ ? server_.options().header_time : server_.options().idle_time);
  http::async_read_header(stream_, buffer_, *parser_,
                          [self = shared_from_this()](error_code error, size_t) { self->OnHead(error); });
}

void Connection::FillHead() {
  const auto& message = parser_->get();
  const auto text = [](beast::string_view view) { return std::string(view.data(), view.size()); };
  head_.method = text(message.method_string());
  head_.path = text(message.target());
  head_.path.resize(std::min(head_.path.find('?'), head_.path.size()));
  head_.host = text(message[http::field::host]);
  head_.content_type = text(message[http::field::content_type]);
  head_.authorization = text(message[http::field::authorization]);
  keep_alive_ = message.keep_alive();
  http_1_0_ = message.version() < 11;
  head_only_ = message.method() == http::verb::head;
}

void Connection::OnHead(error_code error) {
  if (closed_) return;
  began_ = SteadyClock::now();
  if (error) {
    if (!first_ && error == beast::error::timeout) return Close();  // nothing was asked for
    return OnReadError(error);
  }
  first_ = false;
  in_request_ = true;
  body_bytes_ = 0;
  FillHead();
  if (const std::optional<HttpResponse> refusal = server_.handler().CheckHead(head_)) return Refuse(*refusal);
  if (!TakeBodyRoom()) return Refuse(server_.handler().Refusal(503, "too many bodies are being read"));
  Continue();
}

// A body of unknown length counts as the largest.
bool Connection::TakeBodyRoom() {
  if (parser_->is_done()) return true;
  const auto length = parser_->content_length();
  head_.body_room = server_.TakeBodyRoom(length ? *length : server_.options().max_body_bytes);
  return head_.body_room != nullptr;
}

// curl asks before it sends more than 1 MB.
void Connection::Continue() {
  const auto expect = parser_->get()[http::field::expect];
  parser_->eager(true);
  if (parser_->is_done() || !beast::iequals(expect, "100-continue")) return ReadBody();
  static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  stream_.expires_after(server_.options().write_time);
  asio::async_write(stream_, asio::buffer(kContinue.data(), kContinue.size()),
                    [self = shared_from_this()](error_code error, size_t) {
                      if (error) return self->Close();
                      self->ReadBody();
                    });
}

// Bytes that have come give time for more, so that one who sends none does not keep room for a body that never comes.
void Connection::ReadBody() {
  if (closed_) return;
  if (parser_->is_done()) return Dispatch();
  stream_.expires_at(began_ + server_.options().body_time +
                     std::chrono::milliseconds(body_bytes_ * 1000 / limits::kMinBodyBytesPerSecond));
  http::async_read_some(stream_, buffer_, *parser_,
                        [self = shared_from_this()](error_code error, size_t bytes) { self->OnBody(error, bytes); });
}

void Connection::OnBody(error_code error, size_t bytes) {
  if (closed_) return;
  if (error) return OnReadError(error);
  body_bytes_ += bytes;
  ReadBody();
}

void Connection::OnReadError(error_code error) {
  if (error == beast::error::timeout) {
    server_.CountDropped();
    return Close();
  }
  if (error == http::error::body_limit) {
    return Refuse(
        server_.handler().Refusal(413, fmt::format("a body of more than {} bytes", server_.options().max_body_bytes)));
  }
  if (error == http::error::header_limit) {
    return Refuse(
        server_.handler().Refusal(431, fmt::format("headers of more than {} bytes", limits::kMaxHeaderBytes)));
  }
  // The client went, or what it sent is no HTTP.
  const bool is_http = error.category() == make_error_code(http::error::bad_method).category();
  if (!is_http || error == http::error::end_of_stream || error == http::error::partial_message) return Close();
  Refuse(server_.handler().Refusal(400, fmt::format("no HTTP request: {}", error.message())));
}

void Connection::Dispatch() {
  exchange_ = server_.NewExchange(*this);
  HttpRequest request = head_;
  head_.body_room.reset();
  request.body = std::move(parser_->get().body());
  stream_.expires_never();
  Watch();
  server_.handler().Handle(std::move(request), exchange_);
}

// While an answer is made nothing is read, but for the client's end. A client that has already sent its next request is
// noticed to be gone when it is written to.
void Connection::Watch() {
  if (buffer_.size() > 0) return;
  stream_.socket().async_wait(tcp::socket::wait_read,
                              [self = shared_from_this(), generation = ++generation_](error_code error) {
                                if (!error) self->OnReadable(generation);
                              });
}

void Connection::OnReadable(uint64_t generation) {
  if (closed_ || generation != generation_ || exchange_ == nullptr) return;
  char next = 0;
  const ssize_t found = recv(stream_.socket().native_handle(), &next, 1, MSG_PEEK | MSG_DONTWAIT);
  if (found == 0 || (found < 0 && errno != EAGAIN && errno != EWOULDBLOCK)) Drop();
}

// --- Connection: writing

void Connection::AddHead(const HttpResponse& response, std::optional<uint64_t> length) {
  status_ = response.status;
  if (response.close || server_.finishing()) keep_alive_ = false;
  std::string head = fmt::format("HTTP/1.1 {} {}\r\nServer: eyeshot\r\nDate: {}\r\n", response.status,
                                 ReasonOf(response.status), HttpDate());
  if (!response.content_type.empty()) head += fmt::format("Content-Type: {}\r\n", response.content_type);
  for (const auto& [name, value] : response.headers) head += fmt::format("{}: {}\r\n", name, value);
  if (length) {
    head += fmt::format("Content-Length: {}\r\n", *length);
  } else if (!http_1_0_) {
    head += "Transfer-Encoding: chunked\r\n";
    chunked_ = true;
  } else {
    keep_alive_ = false;
  }
  if (!keep_alive_) {
    head += "Connection: close\r\n";
  } else if (http_1_0_) {
    head += "Connection: keep-alive\r\n";
  }
  outgoing_ += head + "\r\n";
}

void Connection::Reply(const HttpResponse& response) {
  chunked_ = false;
  AddHead(response, response.body.size());
  if (!head_only_) outgoing_ += response.body;
  ended_ = true;
  Flush();
}

void Connection::Begin(const HttpResponse& head) {
  AddHead(head, std::nullopt);
  Flush();
}

void Connection::Write(std::string_view piece) {
  if (piece.empty()) return;
  if (outgoing_.size() + piece.size() > server_.options().max_unsent_bytes) {
    server_.CountDropped();
    return Drop();
  }
  if (chunked_) outgoing_ += fmt::format("{:x}\r\n", piece.size());
  outgoing_ += piece;
  if (chunked_) outgoing_ += "\r\n";
  Flush();
}

void Connection::End() {
  if (chunked_) outgoing_ += "0\r\n\r\n";
  chunked_ = false;
  ended_ = true;
  Flush();
}

// An answer before the request was read: the connection can't be used further.
void Connection::Refuse(const HttpResponse& response) {
  in_request_ = true;
  if (!parser_->is_done() || response.close) {
    keep_alive_ = false;
  }
  Reply(response);
}

void Connection::Flush() {
  if (closed_ || !writing_.empty()) return;
  if (outgoing_.empty()) {
    if (ended_) OnAnswered();
    return;
  }
  writing_.swap(outgoing_);
  stream_.expires_after(server_.options().write_time);
  asio::async_write(stream_, asio::buffer(writing_),
                    [self = shared_from_this()](error_code error, size_t) { self->OnWritten(error); });
}

void Connection::OnWritten(error_code error) {
  writing_.clear();
  if (closed_) return;
  if (error) {
    if (error == beast::error::timeout) server_.CountDropped();
    return Drop();
  }
  stream_.expires_never();
  Flush();
}

void Connection::OnAnswered() {
  ended_ = false;
  server_.handler().OnAnswered(head_, status_, std::chrono::duration<double>(SteadyClock::now() - began_).count());
  if (exchange_ != nullptr) std::exchange(exchange_, nullptr)->Detach(/*gone=*/false);
  ++generation_;
  error_code ignored;
  stream_.socket().cancel(ignored);  // watching
  outgoing_.shrink_to_fit();
  if (!keep_alive_) return Linger();
  if (server_.finishing()) return Close();
  ReadHead();
}

void Connection::Drop() {
  if (exchange_ != nullptr) {
    constexpr int kClientClosedRequest = 499;
    server_.handler().OnAnswered(head_, kClientClosedRequest,
                                 std::chrono::duration<double>(SteadyClock::now() - began_).count());
    std::exchange(exchange_, nullptr)->Detach(/*gone=*/true);
  }
  Close();
}

void Connection::Linger() {
  error_code error;
  stream_.socket().shutdown(tcp::socket::shutdown_send, error);
  if (error) return Close();
  stream_.expires_after(kLingerTime);
  stream_.async_read_some(asio::buffer(discarded_), [self = shared_from_this()](error_code read_error, size_t) {
    if (read_error || SteadyClock::now() - self->began_ > kLingerTime + self->server_.options().body_time) {
      return self->Close();
    }
    self->Linger();
  });
}

void Connection::Close() {
  if (std::exchange(closed_, true)) return;
  head_.body_room.reset();
  error_code ignored;
  stream_.socket().shutdown(tcp::socket::shutdown_both, ignored);
  stream_.close();
  server_.Remove(*this);
}

// --- Server

Status ServerImpl::Open() {
  error_code error;
  const asio::ip::address address = asio::ip::make_address(options_.address, error);
  if (error) {
    return InvalidArgumentError(fmt::format("'{}' is no address of an interface", options_.address),
                                "use a number: 127.0.0.1, 0.0.0.0 for all, ::1, ::");
  }
  const tcp::endpoint endpoint(address, options_.port);
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) {
    return IoError(
        fmt::format("port {} of {} can't be listened on: {}", options_.port, options_.address, error.message()),
        "end the program that has it, or take another --port");
  }
  port_ = acceptor_.local_endpoint(error).port();
  return Status::Ok();
}

void ServerImpl::Run() {
  WaitForWake();
  Accept();
  context_.run();
  DropAll();
}

void ServerImpl::Accept() {
  acceptor_.async_accept([this](error_code error, tcp::socket socket) {
    if (!acceptor_.is_open()) return;
    if (!error) {
      OnAccepted(std::move(socket));
      return Accept();
    }
    timer_.expires_after(kAcceptRetryTime);
    timer_.async_wait([this](error_code cancelled) {
      if (!cancelled && acceptor_.is_open()) Accept();
    });
  });
}

void ServerImpl::OnAccepted(tcp::socket socket) {
  error_code error;
  const auto remote = socket.remote_endpoint(error);
  if (error) return;
  ++accepted_;
  std::string address = remote.address().to_string();
  int& of_address = by_address_[address];
  const bool loopback = remote.address().is_loopback();
  if (connections_.size() >= static_cast<size_t>(options_.max_connections) ||
      (!loopback && of_address >= limits::kMaxConnectionsPerAddress)) {
    if (of_address == 0) by_address_.erase(address);
    ++refused_;
    static constexpr std::string_view kBusy =
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    socket.non_blocking(true, error);
    socket.send(asio::buffer(kBusy.data(), kBusy.size()), 0, error);
    return;
  }
  ++of_address;
  socket.set_option(tcp::no_delay(true), error);  // events are small and wanted now
  const auto connection = std::make_shared<Connection>(*this, std::move(socket), std::move(address));
  connections_.insert(connection);
  open_.store(static_cast<int64_t>(connections_.size()));
  connection->Start();
}

void ServerImpl::Remove(Connection& connection) {
  const auto of_address = by_address_.find(connection.address());
  if (of_address != by_address_.end() && --of_address->second == 0) by_address_.erase(of_address);
  connections_.erase(connection.shared_from_this());
  open_.store(static_cast<int64_t>(connections_.size()));
  if (finishing_ && connections_.empty()) Stop();
}

std::shared_ptr<void> ServerImpl::TakeBodyRoom(uint64_t bytes) {
  // One body of any size is let in.
  if (*body_bytes_ > 0 && *body_bytes_ + bytes > limits::kMaxBodiesBytes) return nullptr;
  *body_bytes_ += bytes;
  return {static_cast<void*>(this), [taken = body_bytes_, bytes](void*) { *taken -= bytes; }};
}

void ServerImpl::WaitForWake() {
  wake_.async_wait(asio::posix::stream_descriptor::wait_read, [this](error_code error) {
    if (error) return;
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t taken = read(waker_->fd(), &count, sizeof(count));
    PumpNotified();
    WaitForWake();
  });
}

void ServerImpl::PumpNotified() {
  std::vector<std::shared_ptr<Connection>> notified;  // pumping may close a connection
  for (const auto& connection : connections_) {
    if (connection->exchange() != nullptr && connection->exchange()->TakeNotified()) notified.push_back(connection);
  }
  for (const auto& connection : notified) {
    if (connection->exchange() == nullptr) continue;
    const std::shared_ptr<Exchange> exchange = connection->exchange()->shared_from_this();
    exchange->Pump();
  }
}

void ServerImpl::CatchSignals(std::function<void()> on_signal) {
  on_signal_ = std::move(on_signal);
  signals_.add(SIGINT);
  signals_.add(SIGTERM);
  WaitForSignal();
}

void ServerImpl::WaitForSignal() {
  signals_.async_wait([this](error_code error, int) {
    if (error) return;
    on_signal_();
    WaitForSignal();
  });
}

void ServerImpl::Finish(std::chrono::milliseconds grace) {
  Post([this, grace] {
    finishing_ = true;
    error_code ignored;
    acceptor_.close(ignored);
    const std::vector<std::shared_ptr<Connection>> all(connections_.begin(), connections_.end());
    for (const auto& connection : all) {
      if (connection->idle()) connection->Drop();
    }
    if (connections_.empty()) return Stop();
    finish_timer_.expires_after(grace);
    finish_timer_.async_wait([this](error_code error) {
      if (!error) Stop();
    });
  });
}

void ServerImpl::DropAll() {
  const std::vector<std::shared_ptr<Connection>> all(connections_.begin(), connections_.end());
  for (const auto& connection : all) connection->Drop();
}

// NOLINTEND(bugprone-unused-return-value)
}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::Listen(const HttpOptions& options, HttpHandler& handler) {
  auto server = std::make_unique<ServerImpl>(options, handler);
  EYESHOT_RETURN_IF_ERROR(server->Open());
  return std::unique_ptr<HttpServer>(std::move(server));
}

std::string_view ReasonOf(int status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    default: return "Unknown";
  }
}

}  // namespace eyeshot::server
