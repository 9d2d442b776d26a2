#include "workers/http/http_worker.h"

#include <utility>

#include "common/base/clock.h"
#include "workers/core/worker_main.h"
#include "workers/http/api_merge.h"

namespace weir::http {
namespace {

using ipc::Counter;

constexpr std::uint64_t kTimerMs = 1000;  // idle and stalled relays, pooled connections, limits

constexpr std::pair<EndReason, Counter> kEnds[] = {
    {EndReason::kDone, Counter::kHttpEndDone},
    {EndReason::kClientClosed, Counter::kHttpEndClient},
    {EndReason::kOriginClosed, Counter::kHttpEndOrigin},
    {EndReason::kRequestTimeout, Counter::kHttpEndRequestTimeout},
    {EndReason::kOriginTimeout, Counter::kHttpEndOriginTimeout},
    {EndReason::kIdle, Counter::kHttpEndIdle},
    {EndReason::kStalled, Counter::kHttpEndStalled},
    {EndReason::kClientProtocol, Counter::kHttpEndProtocol},
    {EndReason::kOriginProtocol, Counter::kHttpEndOriginProtocol},
    {EndReason::kNoOrigin, Counter::kHttpEndNoOrigin},
    {EndReason::kLimit, Counter::kHttpEndLimit},
    {EndReason::kStreamMoved, Counter::kHttpEndMoved},
    {EndReason::kShutdown, Counter::kHttpEndShutdown},
    {EndReason::kTls, Counter::kHttpEndTls}};

constexpr Meters kMeters = {"http",
                            Counter::kHttpAccepted,
                            Counter::kHttpConnections,
                            Counter::kHttpRequests,
                            Counter::kHttpBytesFromClients,
                            Counter::kHttpBytesToClients,
                            Counter::kHttpRefusedTotal,
                            Counter::kHttpRefusedAddress,
                            Counter::kHttpRefusedRate,
                            [](EndReason reason) {
                              for (const auto& [known, counter] : kEnds)
                                if (known == reason) return counter;
                              return Counter::kHttpEndError;
                            }};

std::optional<ipc::FlowView> map_flows(int fd) {
  auto flows = ipc::FlowView::map(fd);
  if (flows) return std::move(*flows);
  LogLine(LogLevel::kError, "no session table, WebRTC sessions cannot be changed or ended")
      .field("error", flows.error().text);
  return std::nullopt;
}

ServerSettings settings_of(const Config& config) {
  ServerSettings out;
  out.request_timeout = config.http.request_timeout;
  out.keepalive_timeout = config.http.keepalive_timeout;
  out.stall_timeout = config.http.stall_timeout;
  out.linger_timeout = config.http.linger_timeout;
  out.handshake_timeout = config.tls.handshake_timeout;
  out.tcp_keepalive = config.rtmp.tcp_keepalive;
  out.limits.connections = static_cast<std::uint64_t>(config.http.max_connections);
  out.limits.connections_per_address =
      static_cast<std::uint64_t>(config.http.max_connections_per_address);
  out.limits.request_rate = static_cast<std::uint64_t>(config.http.request_rate);
  out.limits.request_burst = static_cast<std::uint64_t>(config.http.request_burst);
  out.limits.trusted = parse_networks(config.http.trusted_networks).value_or(NetworkList{});
  out.proxy = proxy_settings(config, config.http.request_timeout);
  return out;
}

}  // namespace

HttpWorker::HttpWorker(event_base* base, ipc::WorkerContext&& context, const Config& config,
                       ipc::StateView&& state, ipc::Counters&& counters,
                       ipc::CountersView&& all_counters)
    : base_(base),
      context_(std::move(context)),
      config_(config),
      hint_key_(route::derive_hint_key(config.http.hint_secret)),
      aliases_(route::aliases_of(config.aliases)),
      state_(std::move(state)),
      flows_(map_flows(context_.flows.get())),
      counters_(std::move(counters)),
      all_counters_(std::move(all_counters)),
      next_session_(context_.first_session),
      link_(base, std::move(context_.channel), context_.kind, counters_,
            {[this](ipc::MessageType type, ByteView bytes) { on_message(type, bytes); },
             [this](std::uint64_t deadline_ms) { drain(deadline_ms); },
             [this] {
               drain(0);
               server_.end_all(EndReason::kShutdown);
               maybe_leave();
             }}),
      tls_(make_tls_server(config, context_.tickets, net::Alpn::kHttp)),
      resolver_(base, config, counters_),
      hooks_(base, config, resolver_, counters_, [this] { maybe_leave(); }),
      origin_tls_(config),
      server_(base, std::move(context_.listeners), settings_of(config), kMeters, tls_.get(),
              counters_, next_session_,
              {[this] { maybe_leave(); },
               [this] {
                 counters_.add(Counter::kHttpRefusedDescriptors);
                 streams_.drop_idle_upstreams();  // clients come before what nobody uses
               },
               [this] { return streams_.spare_upstreams(); },
               [this](std::uint64_t token, std::uint32_t events) {
                 streams_.on_event(token, events);
               }}),
      files_(server_, config.http.static_files),
      streams_(process()),
      rtc_(process(), flows_, next_session_),
      api_(process()),
      timer_(make_timer<&HttpWorker::on_timer>(base, this)) {
  add_ports();
}

Process HttpWorker::process() {
  return {base_,     config_,     state_,    link_,   counters_, hooks_,
          resolver_, origin_tls_, hint_key_, server_, aliases_};
}

void HttpWorker::add_ports() {
  Port streams;
  streams.listen = config_.http.listen;
  streams.proxy_protocol = config_.http.proxy_protocol;
  streams.cors = parse_cors_mode(config_.http.cors);
  streams.methods = "GET, HEAD, OPTIONS";
  streams.access = parse_access_list(config_.http.access).value_or(AccessList{});
  streams.rooms = {&files_, &streams_};
  Port api = streams;
  api.listen = config_.http_api.listen;
  api.proxy_protocol = config_.http_api.proxy_protocol;
  api.protocol = "api";
  api.methods = "GET, HEAD, DELETE, OPTIONS";
  api.access = parse_access_list(config_.http_api.access).value_or(AccessList{});
  api.error_form = [](int status, std::string_view why) {
    ApiAnswer refusal = api_refusal(status, why);
    return ErrorText{refusal.status, "application/json", std::move(refusal.body)};
  };
  api.rooms = {&rtc_, &api_};
  const auto add = [&](bool enabled, Port port, const Endpoint& tls_listen) {
    if (!enabled) return;
    server_.add_port(port);
    port.listen = tls_listen;
    port.tls = true;
    if (!tls_listen.empty()) server_.add_port(std::move(port));
  };
  add(config_.http.enabled, std::move(streams), config_.http.tls_listen);
  add(config_.http_api.enabled, std::move(api), config_.http_api.tls_listen);
}

void HttpWorker::run() {
  server_.start();
  arm(timer_, kTimerMs);
  ipc::Ready ready;
  link_.send(ready);
  event_base_dispatch(base_);
}

void HttpWorker::on_message(ipc::MessageType type, ByteView bytes) {
  if (type == ipc::MessageType::kRouteAnswer) {
    ipc::RouteAnswer message;
    if (ipc::decode(bytes, message) && !rtc_.on_route_answer(message)) {
      streams_.on_route_answer(message);
    }
  } else if (type == ipc::MessageType::kFlowCreated) {
    ipc::FlowCreated message;
    if (ipc::decode(bytes, message)) rtc_.on_flow_created(message);
  } else if (type == ipc::MessageType::kFlowAbandoned) {
    ipc::FlowAbandoned message;
    if (ipc::decode(bytes, message)) rtc_.on_flow_abandoned(message);
  } else if (type == ipc::MessageType::kSessionEnd) {
    ipc::SessionEnd order;
    if (!ipc::decode(bytes, order)) return;
    const std::uint32_t index = server_.connections().find(order.session);
    if (index == server_.connections().size()) return;
    const Connection& conn = server_[index];
    if (!must_end(order, conn.bytes_to_client - conn.mark.to_before)) return;
    const Exchange* x = conn.exchange.get();
    log_ended_by_master(order, "http", x == nullptr ? std::string_view() : x->key,
                        x == nullptr ? conn.client : x->identity.client);
    server_.end(index, reason_of(order));
  }
}

void HttpWorker::drain(std::uint64_t deadline_ms) {
  if (drain_.begin(deadline_ms, server_.connections().active())) server_.drain();
  maybe_leave();
}

void HttpWorker::maybe_leave() {
  if (drain_.begun() && server_.idle() && hooks_.idle()) event_base_loopbreak(base_);
}

void HttpWorker::on_timer() {
  const std::uint64_t now = monotonic_ms();
  streams_.sweep(now);
  const std::uint64_t all = all_counters_.total(state_, Counter::kHttpConnections);
  server_.set_elsewhere(all > server_.connections().active() ? all - server_.connections().active()
                                                             : 0);
  if (drain_.overdue(now, server_.connections().active())) {
    server_.end_all(EndReason::kShutdown);
    maybe_leave();
  }
  arm(timer_, kTimerMs);
}

}  // namespace weir::http

namespace weir::ipc {

int run_http_worker(WorkerContext&& context, const Config& config) {
  return run_worker<http::HttpWorker>(std::move(context), config);
}

}  // namespace weir::ipc
