#include "workers/http/stream_dial.h"

#include "common/base/clock.h"
#include "ipc/origin_walk.h"

namespace weir::http {
namespace {

using ipc::Counter;

constexpr std::size_t kHttpKind = static_cast<std::size_t>(ipc::EndpointKind::kHttp);
constexpr std::string_view kText = "text/plain; charset=utf-8";

OriginDialer::Settings dial_settings(const Config& config) {
  OriginDialer::Settings out;
  out.kind = ipc::EndpointKind::kHttp;
  out.attempts = config.http.dial_attempts;
  out.timeout_ms = config.http.dial_timeout;
  out.tcp = {config.rtmp.tcp_keepalive, config.http.stall_timeout};
  out.counters = kDialCounters;
  return out;
}

}  // namespace

StreamDial::StreamDial(const Process& process, const Room& room)
    : process_(process),
      room_(room),
      pool_(static_cast<std::size_t>(process.config.http.pool_size),
            process.config.http.pool_timeout),
      dialer_(process.base, dial_settings(process.config), process.state, process.link,
              process.counters, process.tls, handlers()),
      search_(process, room, pool_, [this](std::uint32_t index, OriginSearch::Outcome&& outcome) {
        on_outcome(index, std::move(outcome));
      }) {}

// The owner of a dial is the place of its client's connection.
OriginDialer::Handlers StreamDial::handlers() {
  return {[this](std::uint64_t owner, int fd) {
            const auto index = static_cast<std::uint32_t>(owner);
            const std::uint64_t token = pool_.open(fd, {index, process_.server[index].generation});
            return process_.server.events().add(fd, kSideEvents, token);
          },
          [this](std::uint64_t owner, const OriginDialer::Step& step) {
            const auto index = static_cast<std::uint32_t>(owner);
            on_step(index, step);
            process_.server.serve(index);
          },
          [this](std::uint64_t owner, const Endpoint& endpoint, Side& into) {
            return take_idle(static_cast<std::uint32_t>(owner), endpoint, into);
          }};
}

void StreamDial::on_ready(std::uint64_t packed, std::uint32_t events) {
  const Token token = Token::unpack(packed);
  const auto user = pool_.user_of(token);
  if (!user || !process_.server.valid({user->index, user->generation})) return;
  const Connection& conn = process_.server[user->index];
  if (conn.detached || !conn.exchange || conn.exchange->room != &room_) return;
  StreamExchange& x = exchange(user->index);
  if (x.stage == StreamStage::kSearching) {
    search_.on_ready(user->index, static_cast<int>(token.index), events);
    process_.server.serve(user->index);
    return;
  }
  const bool dials = x.stage == StreamStage::kDialing;
  const int fd = dials ? dialer_.descriptor(x.dial) : x.upstream.fd.get();
  // A stale event of a connection that this request has given up.
  if (fd != static_cast<int>(token.index)) return;
  if (dials) {
    on_step(user->index, dialer_.on_ready(x.dial, events));
  } else {
    x.upstream.note(events);
  }
  process_.server.serve(user->index);
}

void StreamDial::route(std::uint32_t index) {
  StreamExchange& x = exchange(index);
  if (x.pinned) {
    process_.counters.add(Counter::kHttpHintHits);
    dial(index, x.origin, {});
    return;
  }
  const auto known = process_.state.find_route(x.key, ipc::Role::kPlayer, ipc::EndpointKind::kHttp);
  if (known) {
    process_.counters.add(Counter::kRouteHits);
  } else if (search_.wants(x)) {
    search_.start(index);
    return;
  }
  dial(index, known, {});
}

void StreamDial::dial(std::uint32_t index, std::optional<ipc::OriginRef> known,
                      std::span<const ipc::OriginRef> tried) {
  const Connection& conn = process_.server[index];
  StreamExchange& x = exchange(index);
  OriginDialer::Want want;
  want.owner = index;
  want.session = conn.id;
  want.key = x.key;
  want.client = x.identity.client;
  want.client_fd = conn.side.fd.get();
  want.reuse = x.kind != StreamKind::kLive && !x.upgrade;
  want.known = known;
  if (x.pinned) want.endpoint = x.endpoint;
  want.tried = tried;
  const OriginDialer::Started started = dialer_.start(want);
  x.dial = started.ticket;
  on_step(index, started.step);
}

// ---- streams that nobody knows

void StreamDial::on_outcome(std::uint32_t index, OriginSearch::Outcome&& outcome) {
  using What = OriginSearch::Outcome::What;
  StreamExchange& x = exchange(index);
  switch (outcome.what) {
    case What::kResponse:
      x.origin = outcome.origin;
      x.endpoint = outcome.endpoint;
      x.proxied = outcome.proxied;
      x.upstream = std::move(outcome.side);
      x.in = std::move(outcome.bytes);
      x.stage = StreamStage::kFound;
      break;
    case What::kOrigin:
      dial(index, outcome.origin, {});
      break;
    case What::kMaster:
      search_.waits(index);
      dial(index, std::nullopt, outcome.tried);
      break;
    case What::kRefused:
      forget_origin(x);
      process_.server.answer(
          index,
          {outcome.status, kText, outcome.why, {}, false, {}, outcome.status > 500 ? 2U : 0U});
      break;
  }
}

void StreamDial::forget_origin(StreamExchange& x) {
  dialer_.close(std::exchange(x.dial, 0));
  x.upstream = Side{};
  x.in.clear();
  x.parser = ResponseParser{};
}

bool StreamDial::search_on(std::uint32_t index, ByteView answer) {
  StreamExchange& x = exchange(index);
  if (!search_.start_after_no(index, answer)) return false;
  dialer_.close(std::exchange(x.dial, 0));
  x.parser = ResponseParser{};
  return true;
}

void StreamDial::follow_publisher(std::uint32_t index) {
  StreamExchange& x = exchange(index);
  if (x.kind != StreamKind::kLive || x.pinned) return;
  const auto route = process_.state.find_route(x.key, ipc::Role::kPlayer, ipc::EndpointKind::kHttp);
  if (!route || *route == x.origin) return;
  LogLine(LogLevel::kInfo, "stream has come at another origin, its waiting player goes there")
      .session(process_.server[index].id)
      .field("stream", x.key)
      .field("from", [&] { return origin_text(x); });
  forget_origin(x);
  dial(index, *route, {});
}

void StreamDial::settle(std::uint32_t index) {
  StreamExchange& x = exchange(index);
  dialer_.close(std::exchange(x.dial, 0));
  search_.stop(index);
}

void StreamDial::sweep(std::uint64_t now_ms) {
  pool_.sweep(now_ms);
  search_.sweep();
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
  return ipc::any_origin(process_.state, [&](ipc::OriginRef ref, const ipc::OriginRecord&) {
    if (!usable(x, ref, *fingerprint)) return false;
    fingerprints_.emplace(*fingerprint, ref);
    return true;
  });
}

void StreamDial::on_step(std::uint32_t index, const OriginDialer::Step& step) {
  StreamExchange& x = exchange(index);
  x.origin = step.origin;
  x.endpoint = step.endpoint;
  switch (step.state) {
    case OriginDialer::Step::State::kWaiting:
      x.stage = StreamStage::kDialing;
      x.deadline_ms = 0;
      break;
    case OriginDialer::Step::State::kOpen:
      on_open(x, step);
      break;
    case OriginDialer::Step::State::kFailed:
      x.dial = 0;
      refuse(index, step);
      break;
  }
}

// Puts the request into the output; StreamRoom writes it.
void StreamDial::on_open(StreamExchange& x, const OriginDialer::Step& step) {
  x.stage = StreamStage::kAwaitHead;
  x.deadline_ms = monotonic_ms() + process_.config.http.answer_timeout;
  x.proxied = step.proxied;
  x.upstream = dialer_.take(x.dial);
  x.upstream.out.append(x.request);
}

void StreamDial::refuse(std::uint32_t index, const OriginDialer::Step& step) {
  using End = OriginDialer::End;
  const StreamExchange& x = exchange(index);
  int status = 503;
  std::string_view why = "no origin can serve this stream\n";
  if (step.end == End::kNoOrigin) {
    LogLine(LogLevel::kWarn, "request refused")
        .session(process_.server[index].id)
        .field("client", x.identity.client)
        .field("stream", x.key)
        .field("reason", to_string(step.status));
    if (step.origin != ipc::OriginRef{}) status = 502;  // one was tried
  } else if (step.end == End::kUnreachable || step.end == End::kTimeout) {
    status = step.end == End::kTimeout ? 504 : 502;
    why = "no origin could be reached\n";
  } else {
    why = step.end == End::kNoMaster ? "the routing service is not available\n"
                                     : "the routing service did not answer\n";
  }
  process_.server.answer(index, {status, kText, why});
}

bool StreamDial::take_idle(std::uint32_t index, const Endpoint& endpoint, Side& into) {
  const bool found = pool_.take_into(endpoint, {index, process_.server[index].generation}, into);
  if (!found) return false;
  process_.counters.add(Counter::kHttpReused);
  return true;
}

void StreamDial::give_back(StreamExchange& x, std::uint64_t now_ms) {
  pool_.give_back(x.endpoint, {std::move(x.upstream.fd), std::move(x.upstream.tls)}, now_ms);
}

// An origin that takes the connection and closes it may mean this one request, which any client
// could send: that is not held against its health. GET and HEAD may be asked again.
void StreamDial::broke_off(std::uint32_t index, std::string_view why) {
  StreamExchange& x = exchange(index);
  x.upstream = Side{};
  x.in.clear();
  x.parser = ResponseParser{};
  OriginDialer::Broken broken;
  broken.why = why;
  broken.excused = true;
  on_step(index, dialer_.retry(x.dial, broken));
}

}  // namespace weir::http
