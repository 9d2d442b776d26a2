#include "workers/http/stream_dial.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/clock.h"
#include "common/net/tcp.h"
#include "workers/core/dial.h"

namespace weir::http {
namespace {

using ipc::Counter;

constexpr std::uint64_t kRouteTimeoutMs = 3000;  // for the master's answer
constexpr std::size_t kHttpKind = static_cast<std::size_t>(ipc::EndpointKind::kHttp);
constexpr std::string_view kText = "text/plain; charset=utf-8";

Counter counter_of(ipc::DialOutcome outcome) {
  switch (outcome) {
    case ipc::DialOutcome::kRefused:
      return Counter::kHttpDialRefused;
    case ipc::DialOutcome::kTimeout:
      return Counter::kHttpDialTimeout;
    case ipc::DialOutcome::kHandshake:
      return Counter::kHttpDialHandshake;
    case ipc::DialOutcome::kTls:
      return Counter::kHttpDialTls;
    case ipc::DialOutcome::kOk:
    case ipc::DialOutcome::kOther:
      return Counter::kHttpDialOther;
  }
  return Counter::kHttpDialOther;
}

}  // namespace

StreamDial::StreamDial(const Process& process, const Room& room)
    : process_(process),
      room_(room),
      pool_(static_cast<std::size_t>(process.config.http.pool_size),
            process.config.http.pool_timeout) {}

StreamExchange& StreamDial::exchange(std::uint32_t index) {
  return static_cast<StreamExchange&>(*process_.server[index].exchange);
}

std::string StreamDial::origin_text(ipc::OriginRef origin) const {
  ipc::OriginRecord record;
  if (!process_.state.read_origin(origin, record)) return "";
  const std::string name(record.name);
  return record.endpoint_count[kHttpKind] == 0
             ? name
             : name + "@" + to_string(record.endpoints[kHttpKind][0]);
}

std::string StreamDial::used_origin_text(const StreamExchange& x) const {
  ipc::OriginRecord record;
  if (!process_.state.read_origin(x.origin, record)) return "";
  const std::string name(record.name);
  return x.endpoint.empty() ? name : name + "@" + to_string(x.endpoint);
}

void StreamDial::on_ready(std::uint64_t packed, std::uint32_t events) {
  const Token token = Token::unpack(packed);
  const auto user = pool_.user_of(token);
  if (!user || !process_.server.valid({user->index, user->generation})) return;
  const Connection& conn = process_.server[user->index];
  if (conn.detached || !conn.exchange || conn.exchange->room != &room_) return;
  StreamExchange& x = exchange(user->index);
  // A stale event of a connection that this request has given up.
  if (x.upstream.fd.get() != static_cast<int>(token.index)) return;
  x.upstream.note(events);
  if (x.stage == StreamStage::kConnecting) on_connected(user->index);
  process_.server.serve(user->index);
}

void StreamDial::route(std::uint32_t index) {
  StreamExchange& x = exchange(index);
  if (x.pinned) {
    process_.counters.add(Counter::kHttpHintHits);
    dial(index, x.origin, false);
    return;
  }
  if (const auto route =
          process_.state.find_route(x.key, ipc::Role::kPlayer, ipc::EndpointKind::kHttp)) {
    process_.counters.add(Counter::kRouteHits);
    dial(index, *route, false);
    return;
  }
  process_.counters.add(Counter::kRouteMisses);
  ask_master(index);
}

bool StreamDial::usable(StreamExchange& x, ipc::OriginRef origin, std::uint64_t fingerprint) const {
  ipc::OriginRecord record;
  if (!process_.state.read_origin(origin, record) || !record.takes(ipc::EndpointKind::kHttp)) {
    return false;
  }
  for (std::size_t i = 0; i < record.endpoint_count[kHttpKind]; ++i) {
    const Endpoint& endpoint = record.endpoints[kHttpKind][i];
    if (route::origin_fingerprint(process_.hint_key, endpoint) != fingerprint) continue;
    x.origin = origin;
    x.endpoint = endpoint;
    return true;
  }
  return false;
}

bool StreamDial::pin(StreamExchange& x, std::string_view hint) {
  const auto fingerprint = route::read_hint(process_.hint_key, hint, x.path);
  if (!fingerprint) return false;
  const auto known = fingerprints_.find(*fingerprint);
  if (known != fingerprints_.end()) {
    if (usable(x, known->second, *fingerprint)) return true;
    fingerprints_.erase(known);
  }
  const auto& header = process_.state.header();
  std::uint32_t left = header.origins_used.load(std::memory_order_relaxed);
  for (std::uint32_t slot = 0; slot < header.origin_capacity && left > 0; ++slot) {
    ipc::OriginRecord record;
    if (!process_.state.read_origin(slot, record)) continue;
    --left;
    const ipc::OriginRef ref{slot, record.generation};
    if (!usable(x, ref, *fingerprint)) continue;
    fingerprints_.emplace(*fingerprint, ref);
    return true;
  }
  return false;
}

void StreamDial::ask_master(std::uint32_t index) {
  Connection& conn = process_.server[index];
  StreamExchange& x = exchange(index);
  ipc::RouteRequest request;
  request.session = conn.id;
  request.protocol = ipc::EndpointKind::kHttp;
  request.role = ipc::Role::kPlayer;
  request.failed_count = static_cast<std::uint16_t>(std::min(x.failed.size(), ipc::kMaxFailed));
  std::copy_n(x.failed.begin(), request.failed_count, request.failed);
  request.key.assign(x.key);
  request.header.request = process_.link.next_request();
  x.stage = StreamStage::kRouting;
  x.route_request = request.header.request;
  x.deadline_ms = monotonic_ms() + kRouteTimeoutMs;
  if (!process_.link.send(request)) {
    x.route_request = 0;
    process_.server.answer(index, {503, kText, "the routing service is not available\n"});
    return;
  }
  route_requests_.emplace(x.route_request, index);
}

void StreamDial::on_route_answer(const ipc::RouteAnswer& message) {
  const auto found = route_requests_.find(message.header.request);
  if (found == route_requests_.end()) return;  // the client has left meanwhile
  const std::uint32_t index = found->second;
  route_requests_.erase(found);
  StreamExchange& x = exchange(index);
  x.route_request = 0;
  if (x.stage != StreamStage::kRouting) return;
  if (message.status == ipc::RouteStatus::kOk) {
    dial(index, message.origin, false);
  } else {
    process_.counters.add(Counter::kRouteRefused);
    LogLine(LogLevel::kWarn, "request refused")
        .session(process_.server[index].id)
        .field("client", to_string(x.identity.client))
        .field("stream", x.key)
        .field("reason", to_string(message.status));
    process_.server.answer(
        index, {x.failed.empty() ? 503 : 502, kText, "no origin can serve this stream\n"});
  }
  process_.server.serve(index);
}

// `fresh`: not with a connection of the pool.
void StreamDial::dial(std::uint32_t index, ipc::OriginRef origin, bool fresh) {
  Connection& conn = process_.server[index];
  StreamExchange& x = exchange(index);
  ipc::OriginRecord record;
  if (!process_.state.read_origin(origin, record) || record.endpoint_count[kHttpKind] == 0) {
    x.origin = origin;
    x.reused = false;
    ++x.attempts;
    // kOk: nothing that speaks against the origin's health.
    failed(index, ipc::DialOutcome::kOk, "the origin has left, or serves no HTTP");
    return;
  }
  const bool same = x.origin == origin && !x.endpoint.empty();
  x.origin = origin;
  if (!same) x.endpoint = record.endpoints[kHttpKind][conn.id % record.endpoint_count[kHttpKind]];
  x.upstream = Side{};
  x.in.clear();
  x.parser = ResponseParser{};
  x.reused = false;
  x.proxy_protocol = record.proxy_protocol;
  UpstreamPool::Connection pooled;
  if (!fresh && x.kind != StreamKind::kLive && !x.upgrade && x.proxy_protocol == 0) {
    pooled = pool_.take(x.endpoint, {index, conn.generation});
  }
  if (pooled.fd) {
    x.upstream.fd = std::move(pooled.fd);
    x.upstream.tls = std::move(pooled.tls);
    x.reused = true;
    x.upstream.writable = true;  // an edge, had it not been
    process_.counters.add(Counter::kHttpReused);
    send_request(x);
    return;
  }
  dial_anew(index);
}

// A new connection to x.endpoint.
void StreamDial::dial_anew(std::uint32_t index) {
  Connection& conn = process_.server[index];
  StreamExchange& x = exchange(index);
  x.stage = StreamStage::kConnecting;
  x.deadline_ms = monotonic_ms() + process_.config.http.dial_timeout;
  ++x.attempts;
  process_.counters.add(Counter::kHttpDials);
  auto dialed = net::start_connect(
      x.endpoint, {process_.config.rtmp.tcp_keepalive, process_.config.http.stall_timeout});
  if (!dialed) {
    const int code = dialed.error().sys_errno;
    failed(index, is_local_shortage(code) ? ipc::DialOutcome::kOk : dial_outcome(code),
           dialed.error().text);
    return;
  }
  x.upstream.fd = std::move(*dialed);
  const int fd = x.upstream.fd.get();
  if (!process_.server.events().add(fd, kSideEvents, pool_.open(fd, {index, conn.generation}))) {
    failed(index, ipc::DialOutcome::kOther, "no place in the event set");
  }
}

// Puts it into the output; StreamRoom writes it.
void StreamDial::send_request(StreamExchange& x) const {
  x.stage = StreamStage::kAwaitHead;
  x.deadline_ms = monotonic_ms() + process_.config.http.answer_timeout;
  x.upstream.out.append(x.request);
}

std::vector<std::uint8_t> StreamDial::proxy_header_of(std::uint32_t index) {
  const StreamExchange& x = exchange(index);
  if (x.proxy_protocol == 0) return {};
  const Endpoint local = net::local_address(process_.server[index].side.fd.get());
  return proxy_header(x.proxy_protocol, x.identity.client, local);
}

// The TLS handshake with the origin. True when it is done.
bool StreamDial::shake(std::uint32_t index) {
  StreamExchange& x = exchange(index);
  if (!x.upstream.tls) {
    ipc::OriginRecord record;
    static_cast<void>(
        process_.state.read_origin(x.origin, record));  // one that has left has no name
    x.upstream.tls =
        process_.tls.connect(x.upstream.fd.get(), x.endpoint,
                             std::string(record.certificate_name()), proxy_header_of(index));
    if (!x.upstream.tls) {
      failed(index, ipc::DialOutcome::kOk, "TLS to origins cannot be had");
      return false;
    }
  }
  const IoStatus status = x.upstream.handshake();
  if (status == IoStatus::kEnded) {
    const std::string why = tls_failure_text(*x.upstream.tls);  // the stream goes with the side
    failed(index, ipc::DialOutcome::kTls, why);
  }
  return status == IoStatus::kOk;
}

void StreamDial::on_connected(std::uint32_t index) {
  StreamExchange& x = exchange(index);
  if (const int error = net::take_socket_error(x.upstream.fd.get()); error != 0) {
    failed(index, dial_outcome(error), std::strerror(error));
    return;
  }
  if (!x.upstream.writable) return;
  if (is_tls(x.endpoint) && !shake(index)) return;
  if (x.proxy_protocol != 0 && !x.upstream.tls) x.upstream.out.append(proxy_header_of(index));
  send_request(x);
}

void StreamDial::report(ipc::OriginRef origin, ipc::DialOutcome outcome) {
  ipc::DialResult result;
  result.origin = origin;
  result.endpoint = ipc::EndpointKind::kHttp;
  result.outcome = outcome;
  process_.link.send(result);
}

void StreamDial::cancel(StreamExchange& x) {
  if (x.route_request != 0) route_requests_.erase(std::exchange(x.route_request, 0));
}

void StreamDial::give_back(StreamExchange& x, std::uint64_t now_ms) {
  pool_.give_back(x.endpoint, {std::move(x.upstream.fd), std::move(x.upstream.tls)}, now_ms);
}

// No byte of a response has come: the same origin on a new connection, another origin, or the end.
void StreamDial::failed(std::uint32_t index, ipc::DialOutcome outcome, std::string_view error) {
  Connection& conn = process_.server[index];
  StreamExchange& x = exchange(index);
  x.upstream = Side{};
  if (x.reused) {  // it had been idle, and closed just now; GET and HEAD may be asked again
    dial(index, x.origin, true);
    return;
  }
  if (outcome != ipc::DialOutcome::kOk) process_.counters.add(counter_of(outcome));
  // An origin that takes the connection and closes it may mean this one request, which any client
  // could send: that is not held against its health.
  if (outcome != ipc::DialOutcome::kOk && outcome != ipc::DialOutcome::kHandshake) {
    report(x.origin, outcome);
  }
  x.failed.push_back(x.origin);
  x.endpoint = Endpoint{};
  const bool again = x.attempts < process_.config.http.dial_attempts;
  LogLine(LogLevel::kWarn, again ? "origin failed, asking for another" : "origin failed")
      .session(conn.id)
      .field("stream", x.key)
      .field("origin", origin_text(x.origin))
      .field("client", to_string(x.identity.client))
      .field("error", error)
      .field("attempt", x.attempts);
  if (again) {
    process_.counters.add(Counter::kRouteMisses);
    ask_master(index);
    return;
  }
  process_.server.answer(index, {outcome == ipc::DialOutcome::kTimeout ? 504 : 502, kText,
                                 "no origin could be reached\n"});
}

}  // namespace weir::http
