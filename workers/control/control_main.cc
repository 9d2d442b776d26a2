// The control worker's process: event loop, link to the master, http::Server, API, prober, and the
// hooks at the end of WebRTC and SRT sessions, which outlive the workers that carry them.
#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/config/config.h"
#include "common/net/tls_server.h"
#include "ipc/flow_reader.h"
#include "ipc/worker_entry.h"
#include "workers/control/api.h"
#include "workers/control/api_room.h"
#include "workers/control/learner.h"
#include "workers/control/named_answers.h"
#include "workers/control/origin_names.h"
#include "workers/control/origin_watch.h"
#include "workers/control/prober.h"
#include "workers/core/event_ptr.h"
#include "workers/core/hook_client.h"
#include "workers/core/http_server.h"
#include "workers/core/master_link.h"
#include "workers/core/resolver.h"
#include "workers/core/tls_listener.h"
#include "workers/core/worker_main.h"

namespace weir::control {
namespace {

using ipc::Counter;

constexpr std::uint64_t kExpireMs = 250;
constexpr std::uint64_t kWatchMs = 1000;
constexpr std::uint64_t kFreshMs = 3000;   // to ask, when the worker leaves
constexpr std::uint64_t kLingerMs = 2000;  // until a refused client has read why
constexpr std::uint64_t kLastWordsMs = 100;
constexpr std::size_t kMaxFields = 64;  // in one request

constexpr std::pair<EndReason, Counter> kEnds[] = {
    {EndReason::kDone, Counter::kApiEndDone},
    {EndReason::kClientClosed, Counter::kApiEndClient},
    {EndReason::kRequestTimeout, Counter::kApiEndTimeout},
    {EndReason::kStalled, Counter::kApiEndStalled},
    {EndReason::kTls, Counter::kApiEndTls}};

// No limits by address or by rate here: nobody is counted as refused by one.
constexpr http::Meters kMeters = {"control",
                                  Counter::kApiAccepted,
                                  Counter::kApiConnections,
                                  Counter::kApiRequests,
                                  Counter::kApiBytesFromClients,
                                  Counter::kApiBytesToClients,
                                  Counter::kApiRefusedTotal,
                                  Counter::kApiRefusedTotal,
                                  Counter::kApiRefusedTotal,
                                  [](EndReason reason) {
                                    for (const auto& [known, counter] : kEnds)
                                      if (known == reason) return counter;
                                    return Counter::kApiEndError;
                                  }};

class ControlWorker {
 public:
  ControlWorker(event_base* base, ipc::WorkerContext&& context, const Config& config,
                ipc::StateView&& state, ipc::Counters&& counters, ipc::CountersView&& all_counters);
  void run();

 private:
  template <typename M>
  std::uint32_t ask(M& message) {
    message.header.request = link_.next_request();
    return link_.send(message) ? message.header.request : 0;
  }
  void add_ports(const Config& config);
  void on_message(ipc::MessageType type, ByteView bytes);
  void tell_end(const ipc::FlowEnded& ended);
  void drain();
  void on_timer();
  void quit();
  void maybe_leave();
  void leave() { event_base_loopexit(base_, nullptr); }

  event_base* base_;
  ipc::StateView state_;
  std::optional<ipc::StateView> before_;  // of the program that this one replaces
  std::optional<ipc::FlowView> flows_;
  ipc::Counters counters_;
  ipc::CountersView all_counters_;
  SessionId next_session_;  // connections of the API, for logs
  MasterLink link_;
  std::unique_ptr<net::TlsServer> tls_;
  Api api_;
  http::Server server_;
  ApiRoom room_;
  Prober prober_;
  Learner learner_;
  Resolver resolver_;
  OriginNames names_;
  NamedAnswers named_answers_;
  HookClient hooks_;
  EventPtr expire_timer_;
  OriginWatch origin_watch_;
  std::uint64_t watched_ms_ = 0;
  bool draining_ = false;
};

// One of another layout is none.
std::optional<ipc::StateView> map_before(int fd) {
  if (fd < 0) return std::nullopt;
  auto state = ipc::StateView::map(fd);
  if (!state) return std::nullopt;
  return std::move(*state);
}

ApiSettings api_settings(const Config& config, const std::optional<ipc::StateView>& before) {
  ApiSettings settings;
  settings.before = before ? &*before : nullptr;
  settings.token = config.control.token;
  settings.register_from = parse_networks(config.control.register_from).value_or(NetworkList{});
  settings.hosts.named = parse_host_list(config.control.hosts).value_or(HostList{});
  for (const Endpoint& listen : {config.control.listen, config.control.tls_listen}) {
    if (!listen.empty()) settings.hosts.listen.push_back(listen);
  }
  settings.page_size_max = static_cast<std::uint64_t>(config.control.page_size_max);
  settings.needs_rtmp_worker = config.rtmp.enabled;
  settings.aliases = route::aliases_of(config.aliases);
  settings.config = print_config(config);
  for (const CertificateConfig& each : config.certificates) {
    const auto end = net::certificate_expiry(each.tls);
    if (end && (!settings.certificate_end || *end < *settings.certificate_end)) {
      settings.certificate_end = end;
    }
  }
  return settings;
}

std::vector<UniqueFd> listeners_of(ipc::WorkerContext& context) {
  std::vector<UniqueFd> all = std::move(context.listeners);
  if (context.control) all.push_back(std::move(context.control));
  return all;
}

std::optional<ipc::FlowView> map_flows(int fd) {
  auto flows = ipc::FlowView::map(fd);
  if (flows) return std::move(*flows);
  LogLine(LogLevel::kError, "no sessions can be listed").field("error", flows.error().text);
  return std::nullopt;
}

http::ServerSettings http_settings(const Config& config) {
  http::ServerSettings settings;
  settings.request_timeout = config.control.request_timeout;
  settings.keepalive_timeout = config.control.request_timeout;
  settings.stall_timeout = config.control.request_timeout;
  settings.linger_timeout = kLingerMs;
  settings.handshake_timeout = config.tls.handshake_timeout;
  settings.tcp_keepalive = config.rtmp.tcp_keepalive;
  settings.drain_timeout = kFreshMs;
  settings.idle_makes_room = true;
  settings.descriptors_each = 1;
  settings.limits.connections = static_cast<std::uint64_t>(config.control.max_connections);
  settings.proxy = proxy_settings(config, config.control.request_timeout);
  return settings;
}

ControlWorker::ControlWorker(event_base* base, ipc::WorkerContext&& context, const Config& config,
                             ipc::StateView&& state, ipc::Counters&& counters,
                             ipc::CountersView&& all_counters)
    : base_(base),
      state_(std::move(state)),
      before_(map_before(context.old_state.get())),
      flows_(map_flows(context.flows.get())),
      counters_(std::move(counters)),
      all_counters_(std::move(all_counters)),
      next_session_(context.first_session),
      link_(base, std::move(context.channel), context.kind, counters_,
            {[this](ipc::MessageType type, ByteView bytes) { on_message(type, bytes); },
             [this](std::uint64_t) { drain(); }, [this] { quit(); }}),
      tls_(make_tls_server(config, context.tickets, net::Alpn::kHttp)),
      api_(state_, flows_ ? &*flows_ : nullptr, all_counters_, counters_,
           api_settings(config, before_),
           {[this](ipc::OriginRegister& message) { return ask(message); },
            [this](ipc::OriginCommand& message) { return ask(message); },
            [this](ipc::FlowEnd& message) { return link_.send(message); },
            [this](ipc::MasterCommand& message) { return ask(message); }},
           [this](http::ConnHandle client, const HttpResponse& response) {
             room_.respond(client, response);
           }),
      server_(base, listeners_of(context), http_settings(config), kMeters, tls_.get(), counters_,
              next_session_, {[this] { maybe_leave(); }, [] {}, [] { return std::uint64_t{0}; }}),
      room_(server_, api_, context.master_uid),
      prober_(base, config, state_, counters_,
              [this](ipc::ProbeResult& result) { link_.send(result); }),
      learner_(base, config, state_, counters_,
               {{[this](ipc::StreamLearned& message) { return link_.send(message); },
                 [this](ipc::StreamUnlearned& message) { return link_.send(message); }},
                [this](ipc::OriginLearn& message) { link_.send(message); }}),
      resolver_(base, config, counters_),
      names_(base, state_, resolver_, [this](ipc::OriginAddress& message) { link_.send(message); }),
      named_answers_(base, config, context.generation, state_, resolver_,
                     [this](ipc::NamedAddresses& message) { return link_.send(message); }),
      hooks_(base, config, resolver_, counters_, [this] { maybe_leave(); }) {
  expire_timer_.reset(event_new(
      base, -1, EV_PERSIST,
      [](evutil_socket_t, short, void* self) { static_cast<ControlWorker*>(self)->on_timer(); },
      this));
  const timeval period = to_timeval(kExpireMs);
  add_or_end(expire_timer_.get(), &period);
  add_ports(config);
}

void ControlWorker::on_timer() {
  const std::uint64_t now = monotonic_ms();
  api_.expire(now);
  const ipc::StateHeader& header = state_.header();
  const bool serving = header.generation.load(std::memory_order_relaxed) > 0;
  if (!serving || draining_ || now < watched_ms_ + kWatchMs) return;
  watched_ms_ = now;
  origin_watch_.look(count_origins(state_), header.origins_used.load(std::memory_order_relaxed));
}

void ControlWorker::add_ports(const Config& config) {
  http::Port port;
  port.listen = config.control.listen;
  port.proxy_protocol = config.control.proxy_protocol;
  port.access = parse_access_list(config.control.access).value_or(AccessList{});
  port.head.fields = kMaxFields;
  port.head.needs_host = false;  // health checks of balancers often send none
  port.access_logged = false;    // heartbeats, scrapes and health checks would be most of it
  port.error_form = [this](int status, std::string_view why) {
    HttpResponse refusal = api_.refuse(status, why);
    return http::ErrorText{refusal.status, kJson, std::move(refusal.body)};
  };
  port.rooms = {&room_};
  server_.add_port(port);
  port.listen = config.control.tls_listen;
  port.tls = true;
  if (!port.listen.empty()) server_.add_port(port);
  port.listen = {};
  port.tls = false;
  port.local = true;
  port.proxy_protocol = false;
  port.access = {};
  server_.add_port(std::move(port));
}

void ControlWorker::run() {
  server_.start();
  ipc::Ready ready;
  link_.send(ready);
  event_base_dispatch(base_);
}

void ControlWorker::on_message(ipc::MessageType type, ByteView bytes) {
  ipc::Reply reply;
  ipc::FlowEnded ended;
  ipc::ProbeNow probe;
  ipc::CommandNews news;
  if (type == ipc::MessageType::kProbeNow && ipc::decode(bytes, probe)) prober_.probe_now(probe);
  if (type == ipc::MessageType::kReply && ipc::decode(bytes, reply)) api_.on_reply(reply);
  if (type == ipc::MessageType::kCommandNews && ipc::decode(bytes, news)) {
    api_.on_command_news(news);
  }
  if (type == ipc::MessageType::kFlowEnded && ipc::decode(bytes, ended)) tell_end(ended);
}

void ControlWorker::tell_end(const ipc::FlowEnded& ended) {
  if (!ended.texts.valid()) return;
  const bool publisher = ended.role == ipc::Role::kPublisher;
  HookEvent event = udp_hook_event(
      publisher ? HookAction::kUnpublish : HookAction::kStop, ended.session, ended.client,
      ended.texts.get(ipc::FlowField::kKey), ended.texts.get(ipc::FlowField::kParam));
  if (ended.kind == ipc::FlowKind::kSrt) event.tc_url = srt_tc_url(event);
  hooks_.tell(event);
}

// The next generation's control worker takes over; also called when the master is gone. Requests
// and calls that are under way have deadlines of their own, so this ends.
void ControlWorker::drain() {
  if (std::exchange(draining_, true)) return;
  prober_.stop();
  learner_.stop();
  names_.stop();
  named_answers_.stop();
  server_.drain();
  maybe_leave();
}

// At once, but for answers that are under way: whoever ordered the stop shall hear of it.
void ControlWorker::quit() {
  drain();
  const timeval last = to_timeval(kLastWordsMs);
  event_base_loopexit(base_, &last);
}

void ControlWorker::maybe_leave() {
  if (draining_ && server_.idle() && hooks_.idle()) leave();
}

}  // namespace
}  // namespace weir::control

namespace weir::ipc {

int run_control_worker(WorkerContext&& context, const Config& config) {
  return run_worker<control::ControlWorker>(std::move(context), config);
}

}  // namespace weir::ipc
