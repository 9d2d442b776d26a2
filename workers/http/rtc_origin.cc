#include "workers/http/rtc_origin.h"

#include <utility>

#include "common/base/limits.h"
#include "common/net/tcp.h"
#include "workers/core/event_ptr.h"
#include "workers/core/origin_text.h"
#include "workers/core/side.h"
#include "workers/http/http_process.h"
#include "workers/http/rtc_redirect.h"
#include "workers/http/rtc_request.h"

namespace weir::http {
namespace {

constexpr std::size_t kReadBytes = 16 * 1024;

OriginDialer::Settings dial_settings(const Config& config) {
  OriginDialer::Settings out;
  out.kind = ipc::EndpointKind::kApi;
  out.attempts = config.http.dial_attempts;
  out.timeout_ms = config.http.dial_timeout;
  out.tcp = {0, config.http.stall_timeout};
  out.counters = kDialCounters;
  return out;
}

}  // namespace

struct RtcOrigin::Exchange {
  RtcOrigin* owner = nullptr;
  Ticket ticket = 0;
  Want want;
  OnOutcome done;
  bool abandoned = false;         // nobody waits for the answer
  bool sent = false;              // an origin has, or is getting, the request
  std::size_t redirects = 0;      // that were followed
  OriginDialer::Ticket dial = 0;  // while the connection is made
  ipc::OriginRef origin;
  Endpoint endpoint;
  Side side;
  std::unique_ptr<CollectedResponse> response;
  EventPtr timer;  // of the answer

  void on_timer() { owner->on_timeout(*this); }
};

RtcOrigin::RtcOrigin(event_base* base, const Config& config, const ipc::StateView& state,
                     MasterLink& link, ipc::Counters& counters, OriginTls& tls)
    : base_(base),
      state_(state),
      poller_(base, 0,
              [this](std::uint64_t ticket, std::uint32_t events) { on_ready(ticket, events); }),
      dialer_(
          base, dial_settings(config), state, link, counters, tls,
          {[this](std::uint64_t ticket, int fd) { return poller_.add(fd, kSideEvents, ticket); },
           [this](std::uint64_t ticket, const OriginDialer::Step& step) {
             settle(ticket, after(*find(ticket), step));
           },
           {},
           [this](std::uint64_t ticket, ipc::OriginRef origin) {
             const Exchange& x = *find(ticket);
             return !x.want.admits || x.want.admits(origin);
           }}),
      read_buffer_(kReadBytes) {}

RtcOrigin::~RtcOrigin() = default;

RtcOrigin::Exchange* RtcOrigin::find(Ticket ticket) {
  const auto found = exchanges_.find(ticket);
  return found == exchanges_.end() ? nullptr : found->second.get();
}

RtcOrigin::Asked RtcOrigin::ask(Want want, OnOutcome done) {
  const Ticket ticket = ++last_ticket_;
  Exchange& x = *exchanges_.emplace(ticket, std::make_unique<Exchange>()).first->second;
  x.owner = this;
  x.ticket = ticket;
  x.want = std::move(want);
  x.done = std::move(done);
  x.timer = make_timer<&Exchange::on_timer>(base_, &x);
  std::optional<Outcome> outcome = dial(x);
  if (!outcome) return {ticket, std::nullopt};
  exchanges_.erase(ticket);
  return {0, std::move(outcome)};
}

void RtcOrigin::cancel(Ticket ticket) {
  Exchange* x = find(ticket);
  if (x == nullptr) return;
  dialer_.close(x->dial);
  exchanges_.erase(ticket);
}

bool RtcOrigin::abandon(Ticket ticket) {
  Exchange* x = find(ticket);
  if (x != nullptr && x->sent) {
    x->abandoned = true;
    return true;
  }
  cancel(ticket);
  return false;
}

std::optional<RtcOrigin::Outcome> RtcOrigin::dial(Exchange& x) {
  OriginDialer::Want want;
  want.owner = x.ticket;
  want.session = x.want.session;
  want.role = x.want.role;
  want.key = x.want.key;
  want.client = x.want.client;
  want.known = x.want.known;
  want.endpoint = x.want.endpoint;
  want.only_known = x.want.only_known;
  x.sent = false;
  const OriginDialer::Started started = dialer_.start(want);
  x.dial = started.ticket;
  return after(x, started.step);
}

std::optional<RtcOrigin::Outcome> RtcOrigin::after(Exchange& x, const OriginDialer::Step& step) {
  x.origin = step.origin;
  x.endpoint = step.endpoint;
  switch (step.state) {
    case OriginDialer::Step::State::kWaiting:
      break;
    case OriginDialer::Step::State::kOpen:
      // From here on the origin may have made a session: no other one is asked.
      x.side = dialer_.take(x.dial);
      dialer_.close(std::exchange(x.dial, 0));
      send_request(x);
      return serve(x);
    case OriginDialer::Step::State::kFailed: {
      x.dial = 0;
      Outcome outcome = make_outcome(x, Outcome::State::kNoOrigin);
      outcome.dial = step;
      return outcome;
    }
  }
  return std::nullopt;
}

void RtcOrigin::send_request(Exchange& x) {
  x.sent = true;
  x.response = std::make_unique<CollectedResponse>(x.want.method, limits::kSignalBodyBytes);
  const std::string body =
      x.want.body ? x.want.body(net::local_address(x.side.fd.get())) : std::string();
  x.side.out.append(x.want.head);
  x.side.out.append("Content-Length: " + std::to_string(body.size()) + "\r\n\r\n");
  x.side.out.append(body);
  arm(x.timer, x.want.time_limit_ms);
}

void RtcOrigin::on_ready(Ticket ticket, std::uint32_t events) {
  Exchange* x = find(ticket);
  if (x == nullptr) return;
  if (!x->sent) {
    settle(ticket, after(*x, dialer_.on_ready(x->dial, events)));
  } else if (x->side.fd) {
    x->side.note(events);
    settle(ticket, serve(*x));
  }
}

// Writes and reads until the socket blocks, or the answer is there.
std::optional<RtcOrigin::Outcome> RtcOrigin::serve(Exchange& x) {
  std::size_t moved = 0;
  if (x.side.flush(moved) == IoStatus::kEnded) {
    x.side.out.clear();  // it may have said why: what it sent is read below
    x.side.readable = true;
  }
  ParseStatus status = ParseStatus::kNeedMore;
  while (x.side.readable && status == ParseStatus::kNeedMore) {
    ssize_t n = 0;
    const IoStatus io = x.side.read(read_buffer_, n);
    if (io == IoStatus::kBlocked) return std::nullopt;
    status = io == IoStatus::kEnded
                 ? x.response->on_close()
                 : x.response->feed(ByteView(read_buffer_.data(), static_cast<std::size_t>(n)));
  }
  if (status == ParseStatus::kNeedMore) return std::nullopt;
  x.side = Side{};
  if (status != ParseStatus::kComplete) return unreadable(x);
  const int code = x.response->head().status;
  if (code >= 300 && code < 400) return follow(x);
  return make_outcome(x, Outcome::State::kAnswered);
}

std::optional<RtcOrigin::Outcome> RtcOrigin::unreadable(Exchange& x) const {
  LogLine(LogLevel::kWarn, "origin broke off or broke the protocol")
      .session(x.want.session)
      .field("stream", x.want.key)
      .field("origin", origin_text(x))
      .field("client", x.want.client)
      .field("reason", x.response->error());
  return make_outcome(x, Outcome::State::kUnreadable);
}

// The origin has made nothing: what it would be asked for again elsewhere is for whom waits.
std::optional<RtcOrigin::Outcome> RtcOrigin::follow(Exchange& x) {
  if (x.abandoned) return make_outcome(x, Outcome::State::kMisdirected);
  const ResponseHead& head = x.response->head();
  const auto there =
      read_redirect(state_, head, x.want.target, field_of(x.want.head, "Host"), x.redirects);
  LogLine(there ? LogLevel::kInfo : LogLevel::kWarn,
          there ? "origin's redirect is followed" : "origin's redirect cannot be followed")
      .session(x.want.session)
      .field("stream", x.want.key)
      .field("origin", origin_text(x))
      .field("client", x.want.client)
      .field("status", head.status)
      .field("location", head.fields.get(HeaderId::kLocation))
      .field("reason", there ? std::string_view() : there.error().text);
  if (!there) return make_outcome(x, Outcome::State::kMisdirected);
  ++x.redirects;
  x.want.known = there->origin ? there->origin->origin : x.origin;
  x.want.endpoint = there->origin ? there->origin->endpoint : x.endpoint;
  x.want.only_known = true;  // whom the origin has named is asked, and nobody else
  x.want.target = there->target;
  std::string& text = x.want.head;
  text.replace(
      0, text.find("\r\n"),
      std::string(text, 0, text.find(' ')).append(" ").append(x.want.target).append(" HTTP/1.1"));
  return dial(x);
}

RtcOrigin::Outcome RtcOrigin::make_outcome(Exchange& x, Outcome::State state) const {
  Outcome outcome;
  outcome.state = state;
  outcome.origin = x.origin;
  outcome.endpoint = x.endpoint;
  outcome.target = x.want.target;
  if (state != Outcome::State::kLate) outcome.response = std::move(x.response);
  return outcome;
}

std::string RtcOrigin::origin_text(const Exchange& x) const {
  return weir::origin_text(state_, x.origin, x.endpoint);
}

void RtcOrigin::on_timeout(Exchange& x) {
  if (!x.sent) return;  // OriginDialer has deadlines of its own
  LogLine(LogLevel::kWarn, "origin did not answer in time")
      .session(x.want.session)
      .field("stream", x.want.key)
      .field("origin", origin_text(x))
      .field("client", x.want.client);
  Outcome outcome = make_outcome(x, Outcome::State::kLate);
  outcome.last = x.abandoned || x.want.late_limit_ms == 0;
  if (!outcome.last) {
    x.abandoned = true;
    arm(x.timer, x.want.late_limit_ms);
  }
  settle(x.ticket, std::move(outcome));
}

// The last that is done with it: whom it is told may cancel it.
void RtcOrigin::settle(Ticket ticket, std::optional<Outcome> outcome) {
  if (!outcome) return;
  Exchange& x = *find(ticket);
  const OnOutcome done = outcome->last ? std::move(x.done) : x.done;
  if (outcome->last) exchanges_.erase(ticket);
  done(std::move(*outcome));
}

}  // namespace weir::http
