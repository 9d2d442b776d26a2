// HttpWorker: connections, timers, the master's messages, the end of sessions.
#include "workers/http/http_worker.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/clock.h"
#include "common/net/crypto.h"
#include "common/net/tcp.h"
#include "workers/core/worker_main.h"

namespace weir::http {
namespace {

using ipc::Counter;

constexpr std::size_t kReadBytes = 64 * 1024;
constexpr std::uint64_t kFastTimerMs = 50;     // deadlines of requests
constexpr std::uint64_t kSlowTimerMs = 1000;   // idle and stalled relays, pooled connections
constexpr std::uint64_t kDescriptorsEach = 2;  // of a client: its own and the origin's

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
    {EndReason::kShutdown, Counter::kHttpEndShutdown},
    {EndReason::kTls, Counter::kHttpEndTls}};

Counter counter_of(EndReason reason) {
  for (const auto& [known, counter] : kEnds)
    if (known == reason) return counter;
  return Counter::kHttpEndError;
}

std::optional<ipc::FlowView> map_flows(int fd) {
  auto flows = ipc::FlowView::map(fd);
  if (flows) return std::move(*flows);
  LogLine(LogLevel::kError, "no session table, WebRTC sessions cannot be changed or ended")
      .field("error", flows.error().text);
  return std::nullopt;
}

std::uint64_t random_seed() {
  std::array<std::uint8_t, 8> bytes{};
  net::fill_random(bytes);
  return load_be64(bytes.data());
}

}  // namespace

HttpWorker::HttpWorker(event_base* base, ipc::WorkerContext&& context, const Config& config,
                       ipc::StateView&& state, ipc::Counters&& counters,
                       ipc::CountersView&& all_counters)
    : base_(base),
      context_(std::move(context)),
      config_(config),
      trusted_(parse_networks(config.http.trusted_networks).value_or(NetworkList{})),
      access_(parse_access_list(config.http.access).value_or(AccessList{})),
      api_access_(parse_access_list(config.http_api.access).value_or(AccessList{})),
      requests_(static_cast<std::uint64_t>(config.http.request_rate),
                static_cast<std::uint64_t>(config.http.request_burst), random_seed()),
      hint_key_(route::derive_hint_key(config.http.hint_secret)),
      hints_(hint_key_),
      state_(std::move(state)),
      flows_(map_flows(context_.flows.get())),
      counters_(std::move(counters)),
      all_counters_(std::move(all_counters)),
      link_(base, std::move(context_.channel), context_.kind, counters_,
            {[this](ipc::MessageType type, ByteView bytes) { on_message(type, bytes); },
             [this](std::uint64_t deadline_ms) { drain(deadline_ms); },
             [this] {
               drain(0);
               end_all(EndReason::kShutdown);
               maybe_leave();
             }}),
      poller_(base, 0,
              [this](std::uint64_t token, std::uint32_t events) { on_ready(token, events); }),
      relay_(base, relay_settings(config.http),
             {[this](std::uint64_t owner, RelayEnd why) {
                on_relay_end(static_cast<std::uint32_t>(owner), why);
              },
              [this](std::uint64_t owner, std::uint64_t up, std::uint64_t down) {
                HttpConn& conn = conns_[static_cast<std::size_t>(owner)];
                conn.bytes_from_client += up;
                conn.bytes_to_client += down;
                if (down > 0 && conn.mark.first_byte_ms == 0) {
                  conn.mark.first_byte_ms = monotonic_ms();
                }
                counters_.add(Counter::kHttpBytesFromClients, up);
                counters_.add(Counter::kHttpBytesToClients, down);
              }}),
      access_log_(base),
      tls_(make_tls_server(config, context_.tickets, net::Alpn::kHttp)),
      hooks_(base, config, counters_, [this] { maybe_leave(); }),
      origin_tls_(config),
      static_(config.http.static_files),
      pool_(static_cast<std::size_t>(config.http.pool_size), config.http.pool_timeout),
      api_(base, state_, origin_tls_, config.http_api.timeout,
           [this](std::uint64_t call, const ApiAnswer& what) { on_api_answer(call, what); }),
      rtc_({base, config_, state_, flows_, link_, counters_, hooks_, origin_tls_, next_session_},
           hint_key_,
           [this](std::uint64_t owner, const RtcAnswer& what) { on_rtc_answer(owner, what); }),
      acceptor_(base, std::move(context_.listeners),
                {kDescriptorsEach, proxy_settings(config, config.http.request_timeout)}, counters_,
                {[this](UniqueFd fd, const Accepted& who) { on_accept(std::move(fd), who); },
                 [this] {
                   return Acceptor::Load{conns_.active(),
                                         kDescriptorsEach * conns_.active() + pool_.size()};
                 },
                 [this] {
                   counters_.add(Counter::kHttpRefusedDescriptors);
                   pool_.clear();  // clients come before connections that nobody uses
                 },
                 [this] { maybe_leave(); }}),
      fast_timer_(make_timer<&HttpWorker::on_fast_timer>(base, this)),
      slow_timer_(make_timer<&HttpWorker::on_slow_timer>(base, this)),
      read_buffer_(kReadBytes),
      next_session_(context_.first_session) {
  for (std::size_t i = 0; i < acceptor_.listeners(); ++i) {
    const bool api = port_of(i).api;
    if (api ? config.http_api.proxy_protocol : config.http.proxy_protocol) {
      acceptor_.expect_proxy_header(i);
    }
    acceptor_.restrict_to(i, api ? api_access_ : access_, trusted_);
  }
}

void HttpWorker::run() {
  acceptor_.start();
  arm(slow_timer_, kSlowTimerMs);
  ipc::Ready ready;
  link_.send(ready);
  event_base_dispatch(base_);
}

HttpWorker::Port HttpWorker::port_of(std::size_t listener) const {
  const Endpoint& address = acceptor_.address(listener);
  const auto is = [&](bool enabled, const Endpoint& listen) {
    return enabled && !listen.empty() && address == listen;
  };
  const bool api_tls = is(config_.http_api.enabled, config_.http_api.tls_listen);
  return {api_tls || is(config_.http_api.enabled, config_.http_api.listen),
          api_tls || is(config_.http.enabled, config_.http.tls_listen)};
}

void HttpWorker::on_accept(UniqueFd fd, const Accepted& who) {
  const Port port = port_of(who.listener);
  counters_.add(Counter::kHttpAccepted);
  if (!admit(who.client)) return;
  net::set_tcp_options(fd.get(), {config_.rtmp.tcp_keepalive, config_.http.stall_timeout});
  const std::uint32_t index = conns_.take(next_session_++);
  HttpConn& conn = conns_[index];
  conn.client = who.client;
  conn.behind_tls = who.behind_tls;
  conn.api = port.api;
  conn.accepted_ms = conn.last_move_ms = monotonic_ms();
  conn.deadline_ms = conn.accepted_ms + config_.http.request_timeout;
  conn.side.fd = std::move(fd);
  conn.mark.started_ms = conn.accepted_ms;
  count_address(conn);
  if (port.tls) {
    conn.side.tls = tls_->accept(conn.side.fd.get());
    conn.deadline_ms = conn.accepted_ms + config_.tls.handshake_timeout;
  }
  counters_.add(Counter::kHttpConnections);
  track(index);
  if ((port.tls && !conn.side.tls) ||
      !poller_.add(conn.side.fd.get(), kSideEvents, Token{index, conn.generation, 0}.pack())) {
    end(index, EndReason::kError);
  }
}

void HttpWorker::track(std::uint32_t index) {
  HttpConn& conn = conns_[index];
  conn.in_list = true;
  conn.list_index = static_cast<std::uint32_t>(busy_.size());
  busy_.push_back(index);
  if (busy_.size() == 1) arm(fast_timer_, kFastTimerMs);
}

void HttpWorker::untrack(std::uint32_t index) {
  HttpConn& conn = conns_[index];
  if (!conn.in_list) return;
  conn.in_list = false;
  busy_[conn.list_index] = busy_.back();
  conns_[busy_[conn.list_index]].list_index = conn.list_index;
  busy_.pop_back();
}

void HttpWorker::on_message(ipc::MessageType type, ByteView bytes) {
  if (type == ipc::MessageType::kRouteAnswer) {
    ipc::RouteAnswer message;
    if (ipc::decode(bytes, message) && !rtc_.on_route_answer(message)) on_route_answer(message);
  } else if (type == ipc::MessageType::kFlowCreated) {
    ipc::FlowCreated message;
    if (ipc::decode(bytes, message)) rtc_.on_flow_created(message);
  } else if (type == ipc::MessageType::kSessionEnd) {
    ipc::SessionEnd order;
    if (!ipc::decode(bytes, order)) return;
    const std::uint32_t index = conns_.find(order.session);
    if (index == conns_.size()) return;
    log_ended_by_master(order, "http", conns_[index].key, conns_[index].client);
    end(index, EndReason::kLimit);
  }
}

void HttpWorker::drain(std::uint64_t deadline_ms) {
  if (drain_.begin(deadline_ms, conns_.active())) {
    acceptor_.stop();
    // Connections that wait for a next request have none to lose.
    for (std::size_t i = busy_.size(); i-- > 0;) {
      const HttpConn& conn = conns_[busy_[i]];
      if (!conn.exchange && conn.between_requests && conn.in.empty()) {
        end(busy_[i], EndReason::kDone);
      }
    }
  }
  maybe_leave();
}

void HttpWorker::maybe_leave() {
  if (!drain_.begun() || conns_.active() + acceptor_.pending() > 0 || !hooks_.idle()) return;
  event_base_loopbreak(base_);
}

void HttpWorker::on_fast_timer() {
  const std::uint64_t now = monotonic_ms();
  // Backwards: an entry that ends is replaced by the last one, which has been looked at.
  for (std::size_t i = busy_.size(); i-- > 0;) {
    if (i < busy_.size()) check_deadline(busy_[i], now);
  }
  if (!busy_.empty()) arm(fast_timer_, kFastTimerMs);
}

void HttpWorker::check_deadline(std::uint32_t index, std::uint64_t now) {
  HttpConn& conn = conns_[index];
  const std::uint64_t quiet = now < conn.last_move_ms ? 0 : now - conn.last_move_ms;
  const bool waits = !conn.side.out.empty() || (conn.exchange && conn.exchange->in_pipe > 0);
  if (waits && quiet >= config_.http.stall_timeout) {
    end(index, EndReason::kStalled);
    return;
  }
  if (!conn.exchange) {
    if (conn.deadline_ms != 0 && now >= conn.deadline_ms) {
      if (conn.side.shaking()) {
        refuse_tls(index, net::TlsFailure::kTimeout, "no handshake within tls.handshake_timeout");
        return;
      }
      end(index,
          conn.between_requests || conn.lingering ? EndReason::kDone : EndReason::kRequestTimeout);
    }
    return;
  }
  const Exchange& x = *conn.exchange;
  if (x.stage == Stage::kBody && quiet >= config_.http.answer_timeout && !waits) {
    origin_broke(index, EndReason::kOriginTimeout, "no more of the answer within answer_timeout");
    return;
  }
  if (x.deadline_ms == 0 || now < x.deadline_ms) return;
  switch (x.stage) {
    case Stage::kConnecting:
      origin_failed(index, ipc::DialOutcome::kTimeout, "no connection within http.dial_timeout");
      break;
    case Stage::kRouting:
      answer(index, {503, "text/plain; charset=utf-8", "the routing service did not answer\n"});
      pump(index);
      break;
    case Stage::kAwaitHead:
    case Stage::kCollect:
    case Stage::kBody:
      // A slow answer says nothing of the origin's health: a playlist request may be meant to wait.
      answer(index, {504, "text/plain; charset=utf-8", "the origin did not answer in time\n"});
      conn.exchange->upstream = Side{};
      pump(index);
      break;
    case Stage::kHandOver:  // the origin does not take what the client sent after its upgrade
      end(index, EndReason::kStalled);
      break;
    case Stage::kRequestBody:
      refuse_rtc(index, x.rtc->plan, 408, "the body did not come in time", true);
      pump(index);
      break;
    case Stage::kAsking:  // HookClient has the deadline
    case Stage::kApi:     // so have HttpApi and RtcSignal
    case Stage::kFile:
    case Stage::kAnswered:
      break;
  }
}

void HttpWorker::on_slow_timer() {
  const std::uint64_t now = monotonic_ms();
  relay_.sweep(now);
  pool_.sweep(now);
  const std::uint64_t all = all_counters_.total(state_, Counter::kHttpConnections);
  elsewhere_ = all > conns_.active() ? all - conns_.active() : 0;
  if (drain_.overdue(now, conns_.active())) {
    end_all(EndReason::kShutdown);
    maybe_leave();
  }
  arm(slow_timer_, kSlowTimerMs);
}

void HttpWorker::end_all(EndReason reason) {
  acceptor_.drop_pending();
  for (std::uint32_t i = 0; i < conns_.size(); ++i) {
    if (conns_[i].used) end(i, reason);
  }
}

void HttpWorker::on_relay_end(std::uint32_t index, RelayEnd why) {
  end(index, reason_of(why));
}

void HttpWorker::end(std::uint32_t index, EndReason reason) {
  HttpConn& conn = conns_[index];
  untrack(index);
  if (conn.relay != SpliceRelay::kNone) {
    relay_.stop(conn.relay);
    counters_.sub(Counter::kHttpLive);
    ipc::SessionClose close;
    close.session = conn.id;
    link_.send(close);
    log_relay_end(conn, reason);
  } else if (conn.exchange) {
    if (conn.exchange->route_request != 0) route_requests_.erase(conn.exchange->route_request);
    if (conn.exchange->hook != 0) hooks_.cancel(conn.exchange->hook);
    cancel_api(*conn.exchange);
    log_exchange(conn, reason);
  } else if (!conn.closing && !conn.in.empty()) {
    log_broken_request(conn, reason);
  }
  uncount_address(conn);
  tell_stop(conn);
  counters_.sub(Counter::kHttpConnections);
  counters_.add(counter_of(reason));
  conns_.release(index);
  maybe_leave();
}

}  // namespace weir::http

namespace weir::ipc {

int run_http_worker(WorkerContext&& context, const Config& config) {
  return run_worker<http::HttpWorker>(std::move(context), config);
}

}  // namespace weir::ipc
