// RtmpWorker: accepting, the connection table, timers, the master's messages, the end of sessions.
#include "workers/rtmp/rtmp_worker.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/clock.h"
#include "common/net/crypto.h"
#include "common/net/tcp.h"
#include "workers/core/worker_main.h"

namespace weir::rtmp {
namespace {

using ipc::Counter;

constexpr HandshakeCrypto kCrypto{net::hmac_sha256, net::fill_random_from_stock};
constexpr std::size_t kReadBytes = 64 * 1024;
constexpr std::uint64_t kFastTimerMs = 50;     // deadlines of preambles
constexpr std::uint64_t kSlowTimerMs = 1000;   // idle and stalled relays, limits over all workers
constexpr std::uint64_t kDescriptorsEach = 2;  // of a client: its own and the origin's

constexpr std::pair<EndReason, Counter> kEnds[] = {
    {EndReason::kClientClosed, Counter::kRtmpEndClient},
    {EndReason::kOriginClosed, Counter::kRtmpEndOrigin},
    {EndReason::kHandshakeTimeout, Counter::kRtmpEndHandshakeTimeout},
    {EndReason::kAnswerTimeout, Counter::kRtmpEndAnswerTimeout},
    {EndReason::kIdle, Counter::kRtmpEndIdle},
    {EndReason::kStalled, Counter::kRtmpEndStalled},
    {EndReason::kClientProtocol, Counter::kRtmpEndProtocol},
    {EndReason::kOriginProtocol, Counter::kRtmpEndOriginProtocol},
    {EndReason::kNoOrigin, Counter::kRtmpEndNoOrigin},
    {EndReason::kHook, Counter::kRtmpEndHook},
    {EndReason::kLimit, Counter::kRtmpEndLimit},
    {EndReason::kStreamMoved, Counter::kRtmpEndMoved},
    {EndReason::kShutdown, Counter::kRtmpEndShutdown},
    {EndReason::kTls, Counter::kRtmpEndTls}};

Counter counter_of(EndReason reason) {
  for (const auto& [known, counter] : kEnds)
    if (known == reason) return counter;
  return Counter::kRtmpEndError;
}

OriginDialer::Settings dial_settings(const Config& config) {
  OriginDialer::Settings out;
  out.kind = ipc::EndpointKind::kRtmp;
  out.attempts = config.rtmp.dial_attempts;
  out.timeout_ms = config.rtmp.dial_timeout;
  out.tcp = {config.rtmp.tcp_keepalive, config.rtmp.stall_timeout};
  out.counters = {Counter::kRtmpDials,       Counter::kRtmpDialRetries,   Counter::kRtmpDialRefused,
                  Counter::kRtmpDialTimeout, Counter::kRtmpDialHandshake, Counter::kRtmpDialTls,
                  Counter::kRtmpDialOther};
  return out;
}

void log_end(AccessLogger& log, const Conn& conn, EndReason reason) {
  AccessRecord record;
  record.session = conn.id;
  record.protocol = "rtmp";
  if (conn.named) record.method = conn.publisher ? "publish" : "play";
  record.client = conn.client;
  record.stream = conn.key;
  record.bytes_from_client = conn.bytes_from_client;
  record.bytes_to_client = conn.bytes_to_client;
  record.duration_ms = monotonic_ms() - conn.accepted_ms;
  if (conn.first_byte_ms != 0) record.first_byte_ms = conn.first_byte_ms - conn.accepted_ms;
  record.reason = to_string(reason);
  log.write(record, conn.texts.get());
}

}  // namespace

RtmpWorker::RtmpWorker(event_base* base, ipc::WorkerContext&& context, const Config& config,
                       ipc::StateView&& state, ipc::Counters&& counters,
                       ipc::CountersView&& all_counters)
    : base_(base),
      context_(std::move(context)),
      config_(config),
      aliases_(route::aliases_of(config.aliases)),
      state_(std::move(state)),
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
      relay_(base, relay_settings(config.rtmp),
             {[this](std::uint64_t owner, RelayEnd why) {
                on_relay_end(static_cast<std::uint32_t>(owner), why);
              },
              [this](std::uint64_t owner, std::uint64_t up, std::uint64_t down) {
                Conn& conn = conns_[static_cast<std::size_t>(owner)];
                conn.bytes_from_client += up;
                conn.bytes_to_client += down;
                if (down > 0 && conn.first_byte_ms == 0) conn.first_byte_ms = monotonic_ms();
                counters_.add(Counter::kRtmpBytesFromClients, up);
                counters_.add(Counter::kRtmpBytesToClients, down);
                if (conn.searched) check_found(search_, conn);
              },
              [this](std::uint64_t owner, ByteView bytes) {
                return on_watched(conns_[static_cast<std::size_t>(owner)], bytes);
              }}),
      tls_(make_tls_server(config, context_.tickets, net::Alpn::kNone)),
      origin_tls_(config),
      dialer_(base, dial_settings(config), state_, link_, counters_, origin_tls_,
              {[this](std::uint64_t owner, int fd) { return poller_.add(fd, kSideEvents, owner); },
               [this](std::uint64_t owner, const OriginDialer::Step& step) {
                 on_dial(Token::unpack(owner).index, step);
               },
               {},
               [this](std::uint64_t owner, ipc::OriginRef origin) {
                 const Conn& conn = conns_[Token::unpack(owner).index];
                 return search_.admits(conn.preamble->hunt, origin);
               }}),
      search_(config, state_, link_, counters_, ipc::EndpointKind::kRtmp, ipc::WorkerKind::kRtmp),
      acceptor_(
          base, std::move(context_.listeners),
          {kDescriptorsEach, proxy_settings(config, config.rtmp.handshake_timeout)}, counters_,
          {[this](UniqueFd fd, const Accepted& who) {
             const bool tls = !config_.rtmp.tls_listen.empty() &&
                              acceptor_.address(who.listener) == config_.rtmp.tls_listen;
             on_accept(std::move(fd), who.client, tls);
           },
           [this] {
             return Acceptor::Load{conns_.active(), kDescriptorsEach * conns_.active()};
           },
           [this] { counters_.add(Counter::kRtmpRefusedDescriptors); }, [this] { maybe_leave(); }}),
      access_log_(base),
      resolver_(base, config, counters_),
      hooks_(base, config, resolver_, counters_, [this] { maybe_leave(); }),
      fast_timer_(make_timer<&RtmpWorker::on_fast_timer>(base, this)),
      slow_timer_(make_timer<&RtmpWorker::on_slow_timer>(base, this)),
      read_buffer_(kReadBytes),
      next_session_(context_.first_session) {
  for (std::size_t i = 0; i < acceptor_.listeners(); ++i) {
    if (config.rtmp.proxy_protocol) acceptor_.expect_proxy_header(i);
    acceptor_.restrict_to(i, parse_access_list(config.rtmp.access).value_or(AccessList{}), {});
  }
}

void RtmpWorker::run() {
  acceptor_.start();
  arm(slow_timer_, kSlowTimerMs);
  ipc::Ready ready;
  link_.send(ready);
  event_base_dispatch(base_);
}

bool RtmpWorker::admit(const Endpoint& client) {
  const auto most = static_cast<std::uint64_t>(config_.rtmp.max_connections);
  if (conns_.active() + elsewhere_ >= most) {
    counters_.add(Counter::kRtmpRefusedTotal);
    log_refused(total_refusals_, "connection refused, rtmp.max_connections is reached", client,
                most);
    return false;
  }
  const auto limit = static_cast<std::uint64_t>(config_.rtmp.max_half_open_per_address);
  const auto found = half_open_.find(address_group(client));
  if (limit > 0 && found != half_open_.end() && found->second >= limit) {
    counters_.add(Counter::kRtmpRefusedHalfOpen);
    log_refused(half_open_refusals_,
                "connection refused, rtmp.max_half_open_per_address is reached", client, limit);
    return false;
  }
  return true;
}

void RtmpWorker::on_accept(UniqueFd fd, const Endpoint& client, bool tls) {
  counters_.add(Counter::kRtmpAccepted);
  if (!admit(client)) return;
  net::set_tcp_options(fd.get(), {config_.rtmp.tcp_keepalive, config_.rtmp.stall_timeout});
  const std::uint32_t index = conns_.take(next_session_++);
  Conn& conn = conns_[index];
  conn.client = client;
  conn.accepted_ms = monotonic_ms();
  conn.preamble = std::make_unique<Preamble>(kCrypto);
  Preamble& p = *conn.preamble;
  p.deadline_ms = conn.accepted_ms + config_.rtmp.handshake_timeout;
  p.last_move_ms = conn.accepted_ms;
  p.side[0].fd = std::move(fd);
  if (tls) {
    p.side[0].tls = tls_->accept(p.side[0].fd.get());
    p.deadline_ms = conn.accepted_ms + config_.tls.handshake_timeout;
  }
  p.list_index = static_cast<std::uint32_t>(preambles_.size());
  preambles_.push_back(index);
  if (preambles_.size() == 1) arm(fast_timer_, kFastTimerMs);
  ++half_open_[address_group(client)];
  counters_.add(Counter::kRtmpConnections);
  counters_.add(Counter::kRtmpHandshaking);
  if ((tls && !p.side[0].tls) ||
      !poller_.add(p.side[0].fd.get(), kSideEvents, Token{index, conn.generation, 0}.pack())) {
    end(index, EndReason::kError);
  }
}

void RtmpWorker::on_message(ipc::MessageType type, ByteView bytes) {
  if (type == ipc::MessageType::kRouteAnswer) {
    ipc::RouteAnswer answer;
    if (ipc::decode(bytes, answer)) dialer_.on_route_answer(answer);
  } else if (type == ipc::MessageType::kSessionEnd) {
    ipc::SessionEnd order;
    if (!ipc::decode(bytes, order)) return;
    const std::uint32_t index = conns_.find(order.session);
    if (index == conns_.size()) return;
    if (!must_end(order, conns_[index].bytes_to_client)) return;
    log_ended_by_master(order, "rtmp", conns_[index].key, conns_[index].client);
    end(index, reason_of(order));
  }
}

void RtmpWorker::drain(std::uint64_t deadline_ms) {
  if (drain_.begin(deadline_ms, conns_.active())) {
    acceptor_.stop();
  }
  maybe_leave();
}

void RtmpWorker::maybe_leave() {
  if (!drain_.begun() || conns_.active() + acceptor_.pending() > 0 || !hooks_.idle()) return;
  event_base_loopbreak(base_);
}

void RtmpWorker::on_fast_timer() {
  const std::uint64_t now = monotonic_ms();
  // Backwards: an entry that ends is replaced by the last one, which has been looked at.
  for (std::size_t i = preambles_.size(); i-- > 0;) {
    if (i < preambles_.size()) check_deadline(preambles_[i], now);
  }
  if (!preambles_.empty()) arm(fast_timer_, kFastTimerMs);
}

void RtmpWorker::check_deadline(std::uint32_t index, std::uint64_t now) {
  const Preamble& p = *conns_[index].preamble;
  if (p.opened && p.stage == Stage::kTalking) {
    const std::uint64_t quiet = now < p.last_move_ms ? 0 : now - p.last_move_ms;
    const bool waiting = !p.side[0].out.empty() || !p.side[1].out.empty();
    if (waiting && quiet >= config_.rtmp.stall_timeout) {
      end(index, EndReason::kStalled);
    } else if (p.side[0].eof && !waiting && quiet >= config_.rtmp.linger_timeout) {
      end(index, EndReason::kClientClosed);
    } else if (quiet >= config_.rtmp.idle_timeout) {
      end(index, EndReason::kIdle);
    }
    return;
  }
  if (p.deadline_ms == 0 || now < p.deadline_ms) return;
  switch (p.stage) {
    case Stage::kNaming:
      if (p.side[0].shaking()) {
        refuse_tls(index, net::TlsFailure::kTimeout, "no handshake within tls.handshake_timeout");
        break;
      }
      end(index, EndReason::kHandshakeTimeout);
      break;
    case Stage::kAsking:  // HookClient has the deadline
      break;
    case Stage::kBounded:
      route(index);
      break;
    case Stage::kDialing:
      origin_failed(index, ipc::DialOutcome::kTimeout, "no handshake within rtmp.dial_timeout");
      break;
    case Stage::kTalking:
      if (p.session.holds()) {
        // Such a silence is that of an origin where the player may wait.
        conns_[index].preamble->session.pass_on();
        conns_[index].preamble->deadline_ms = now + config_.rtmp.answer_timeout;
        pump(index);
      } else if (p.session.origin_refused()) {
        end(index, p.rejected ? EndReason::kOriginClosed : EndReason::kIdle);
      } else if (p.session.state() == State::kReplay) {
        refuse(index, EndReason::kAnswerTimeout, "no answer within rtmp.answer_timeout");
      } else {
        end(index, EndReason::kAnswerTimeout);
      }
      break;
    case Stage::kClosing:
      end(index, p.closing_reason);
      break;
  }
}

void RtmpWorker::on_slow_timer() {
  const std::uint64_t now = monotonic_ms();
  relay_.sweep(now);
  const std::uint64_t all = all_counters_.total(state_, Counter::kRtmpConnections);
  elsewhere_ = all > conns_.active() ? all - conns_.active() : 0;
  if (drain_.overdue(now, conns_.active())) {
    end_all(EndReason::kShutdown);
    maybe_leave();
  }
  arm(slow_timer_, kSlowTimerMs);
}

void RtmpWorker::end_all(EndReason reason) {
  acceptor_.drop_pending();
  for (std::uint32_t i = 0; i < conns_.size(); ++i) {
    if (conns_[i].used) end(i, reason);
  }
}

void RtmpWorker::leave_half_open(const Conn& conn) {
  const auto found = half_open_.find(address_group(conn.client));
  if (found != half_open_.end() && --found->second == 0) half_open_.erase(found);
}

// Frees what only the time before the relay needs. The sockets go with it unless moved out.
void RtmpWorker::leave_preamble(Conn& conn) {
  Preamble& p = *conn.preamble;
  dialer_.close(p.dial);
  search_.leave(p.hunt);
  if (p.hook != 0) hooks_.cancel(p.hook);
  const std::uint32_t at = p.list_index;
  preambles_[at] = preambles_.back();
  conns_[preambles_[at]].preamble->list_index = at;
  preambles_.pop_back();
  conn.preamble.reset();
}

void RtmpWorker::on_relay_end(std::uint32_t index, RelayEnd why) {
  conns_[index].relay = SpliceRelay::kNone;
  end(index, reason_of(why));
}

void RtmpWorker::end(std::uint32_t index, EndReason reason) {
  Conn& conn = conns_[index];
  bool opened = true;
  if (conn.preamble) {
    if (!conn.named) remember(conn);
    opened = conn.preamble->opened;
    if (!opened) {
      leave_half_open(conn);
      counters_.sub(conn.key.empty() ? Counter::kRtmpHandshaking : Counter::kRtmpDialing);
    }
    leave_preamble(conn);
  } else if (conn.relay != SpliceRelay::kNone) {
    relay_.stop(conn.relay);
  }
  if (opened) {
    counters_.sub(conn.publisher ? Counter::kRtmpPublishing : Counter::kRtmpPlaying);
    ipc::SessionClose close;
    close.session = conn.id;
    link_.send(close);
  }
  if (conn.searched) search_.waits_there();
  counters_.sub(Counter::kRtmpConnections);
  counters_.add(counter_of(reason));
  log_end(access_log_, conn, reason);
  if (conn.stop) hooks_.tell(*conn.stop);
  conns_.release(index);
  maybe_leave();
}

void remember(Conn& conn) {
  const RouteWanted& wanted = conn.preamble->session.wanted();
  if (wanted.app.empty() && wanted.tc_url.empty()) return;  // no connect came
  conn.named = !wanted.stream.empty();
  conn.publisher = wanted.role == Role::kPublisher;
  const bool all = access_log_keeps_query();
  const auto told = [all](std::string_view text) { return all ? text : without_secrets(text); };
  std::string target = "/";
  target += told(wanted.app);
  target += "/";
  target += told(wanted.stream);
  conn.texts = remember_access(target, wanted.flash_ver, wanted.page_url);
}

}  // namespace weir::rtmp

namespace weir::ipc {

int run_rtmp_worker(WorkerContext&& context, const Config& config) {
  return run_worker<rtmp::RtmpWorker>(std::move(context), config);
}

}  // namespace weir::ipc
