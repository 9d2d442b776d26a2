#include "supervisor/ctl/k8s_api.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/endpoint.h"
#include "common/base/fd.h"
#include "common/base/tls_settings.h"
#include "common/config/read_file.h"
#include "common/net/tcp.h"
#include "common/net/tls_client.h"
#include "common/proto/http/collected_response.h"
#include "common/proto/http/head_writer.h"
#include "supervisor/ctl/ctl_client.h"
#include "supervisor/ctl/k8s_candidate.h"

namespace weir::ctl {
namespace {

constexpr std::size_t kTokenBytesMax = 64 * 1024;
constexpr std::size_t kCaBytesMax = 1024 * 1024;
constexpr std::size_t kAddressesMax = 8;
constexpr std::size_t kRecordBytes = 16 * 1024;
constexpr std::string_view kAccept = "Accept";

// One connection and its deadline.
class Exchange {
 public:
  explicit Exchange(std::uint64_t timeout_ms) : until_(monotonic_ms() + timeout_ms) {}

  Result<void> connect(const Endpoint& to);
  Result<void> start_tls(net::TlsClient& client, const Endpoint& to, const std::string& name);
  Result<KubeAnswer> ask(const std::string& request);

 private:
  bool wait(short events) const { return wait_for(socket_.get(), events, until_); }
  Result<void> send(std::string_view bytes);

  std::uint64_t until_;
  UniqueFd socket_;
  std::unique_ptr<net::TlsStream> tls_;  // behind the socket that it uses
};

Result<void> Exchange::connect(const Endpoint& to) {
  auto socket = net::start_connect(to, {});
  if (!socket) return tl::unexpected(socket.error());
  tls_.reset();
  socket_ = std::move(*socket);
  if (!wait(POLLOUT)) return fail("no connection in time");
  if (const int error = net::take_socket_error(socket_.get()); error != 0) {
    return fail_errno("connect", error);
  }
  return {};
}

Result<void> Exchange::start_tls(net::TlsClient& client, const Endpoint& to,
                                 const std::string& name) {
  tls_ = client.connect(socket_.get(), to, name);
  if (!tls_) return fail("no memory for TLS");
  for (;;) {
    const auto status = tls_->handshake();
    if (status == net::TlsStatus::kOk) return {};
    if (status != net::TlsStatus::kBlocked) return fail("TLS: " + tls_->failure_text());
    if (!wait(tls_->wants_write() ? POLLOUT : POLLIN)) return fail("no TLS handshake in time");
  }
}

Result<void> Exchange::send(std::string_view bytes) {
  while (!bytes.empty()) {
    std::size_t sent = 0;
    const auto status = tls_->write(as_bytes(bytes), sent);
    if (status == net::TlsStatus::kBlocked) {
      if (!wait(tls_->wants_write() ? POLLOUT : POLLIN)) return fail("no answer in time");
    } else if (status != net::TlsStatus::kOk) {
      return fail("the connection broke");
    }
    bytes.remove_prefix(sent);
  }
  return {};
}

Result<KubeAnswer> Exchange::ask(const std::string& request) {
  if (auto sent = send(request); !sent) return tl::unexpected(sent.error());
  http::CollectedResponse response(http::Method::kGet, kObjectBytesMax);
  std::vector<std::uint8_t> buffer(kRecordBytes);
  for (;;) {
    std::size_t n = 0;
    const auto status = tls_->read(MutableBytes(buffer.data(), buffer.size()), n);
    if (status == net::TlsStatus::kBlocked) {
      if (!wait(tls_->wants_write() ? POLLOUT : POLLIN)) return fail("no answer in time");
      continue;
    }
    const bool open = status == net::TlsStatus::kOk;
    const auto parsed = open ? response.feed(ByteView(buffer.data(), n)) : response.on_close();
    if (parsed == ParseStatus::kComplete)
      return KubeAnswer{response.head().status, response.body()};
    if (parsed == ParseStatus::kInvalid) {
      return fail("not an HTTP answer: " + std::string(response.error()));
    }
    if (!open) return fail("the connection broke before the answer was whole");
  }
}

Result<std::vector<Endpoint>> look_up(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  if (error != 0) return fail("cannot look up " + host + ": " + ::gai_strerror(error));
  std::vector<Endpoint> out;
  for (const addrinfo* one = found; one != nullptr && out.size() < kAddressesMax;
       one = one->ai_next) {
    sockaddr_storage address{};
    std::memcpy(&address, one->ai_addr, std::min<std::size_t>(one->ai_addrlen, sizeof address));
    const Endpoint endpoint = from_sockaddr(address);
    if (!endpoint.empty()) out.push_back(endpoint);
  }
  if (out.empty()) return fail(host + " has no address");
  return out;
}

Result<std::string> read_line(const std::string& path, std::size_t limit) {
  auto text = config::read_file(path, limit);
  if (!text) return fail(path + ": " + text.error().text);
  while (!text->empty() && (text->back() == '\n' || text->back() == '\r' || text->back() == ' ')) {
    text->pop_back();
  }
  if (text->empty()) return fail(path + ": is empty");
  return std::move(*text);
}

Result<std::unique_ptr<net::TlsClient>> make_tls(const std::string& ca_file) {
  auto authorities = read_line(ca_file, kCaBytesMax);
  if (!authorities) return tl::unexpected(authorities.error());
  TlsSettings settings;
  settings.origin_ca = *authorities + "\n";
  auto made = net::TlsClient::make(settings);
  if (!made) return fail(ca_file + ": not a file of certificates in PEM form");
  return made;
}

Result<std::string> make_request(const KubeAccess& access, const std::string& path,
                                 const std::string& token) {
  const bool v6 = access.host.find(':') != std::string::npos;
  const std::string authority =
      (v6 ? "[" + access.host + "]" : access.host) + ":" + std::to_string(access.port);
  std::string out;
  http::HeadWriter writer(out);
  writer.request("GET", path)
      .field(http::HeaderId::kHost, authority)
      .field(http::HeaderId::kAuthorization, "Bearer " + token)
      .field(kAccept, "application/json")
      .field(http::HeaderId::kUserAgent, "weirctl")
      .field(http::HeaderId::kConnection, "close");
  if (!writer.finish()) return fail(access.token_file + ": holds no token");
  return out;
}

}  // namespace

Result<KubeAnswer> KubeApi::get(const std::string& path) const {
  const auto token = read_line(access_.token_file, kTokenBytesMax);
  if (!token) return tl::unexpected(token.error());
  const auto request = make_request(access_, path, *token);
  if (!request) return tl::unexpected(request.error());
  auto tls = make_tls(access_.ca_file);
  if (!tls) return tl::unexpected(tls.error());
  auto addresses = look_up(access_.host, access_.port);
  if (!addresses) return tl::unexpected(addresses.error());
  // A host that is an address has it in its certificate, not a name.
  const std::string name = parse_ip(access_.host) ? std::string() : access_.host;

  Exchange exchange(access_.timeout_ms);
  Error last;
  for (const Endpoint& to : *addresses) {
    auto ready = exchange.connect(to);
    if (ready) ready = exchange.start_tls(**tls, to, name);
    if (ready) return exchange.ask(*request);
    last = ready.error();
    last.text = to_string(to) + ": " + last.text;
  }
  return tl::unexpected(last);
}

}  // namespace weir::ctl
