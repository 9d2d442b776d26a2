#include "workers/http/rtc_room.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "common/base/ascii.h"
#include "common/base/limits.h"
#include "common/proto/http/head_writer.h"
#include "workers/core/origin_text.h"

namespace weir::http {
namespace {

constexpr FieldSet kNotPassed =
    kForwardingFields | FieldSet{HeaderId::kHost, HeaderId::kExpect, HeaderId::kAcceptEncoding};

// What the origin gets before the empty line; empty if it cannot be said.
std::string head_for_origin(const RequestHead& head, const RtcPlan& plan,
                            const ClientIdentity& identity) {
  std::string out;
  HeadWriter writer(out);
  writer.request(head.method_text, plan.target);
  const std::string_view host = plan.host.empty() ? head.host : std::string_view(plan.host);
  if (!host.empty()) writer.field(HeaderId::kHost, host);
  writer.copy_end_to_end(head.fields, kNotPassed);
  write_forwarding(writer, identity);
  writer.field(HeaderId::kConnection, "close");
  if (!writer.finish()) return {};
  out.resize(out.size() - 2);
  return out;
}

void add_cors(const Connection& conn, RtcAnswer& answer, std::string_view allow) {
  const CorsMode mode = conn.port->cors;
  if (mode == CorsMode::kOff || mode == CorsMode::kOrigin) return;
  const CorsAsk* const ask = conn.exchange->cors.get();
  auto& fields = answer.fields;
  const auto find = [&](std::string_view name) {
    return std::find_if(fields.begin(), fields.end(),
                        [&](const auto& field) { return same_ignoring_case(field.first, name); });
  };
  const PutField put = [&](std::string_view name, std::string_view value) {
    fields.emplace_back(name, value);
  };
  const FieldSet replaced = cors_replaced(mode);
  fields.erase(
      std::remove_if(fields.begin(), fields.end(),
                     [&](const auto& field) { return replaced.has(header_id(field.first)); }),
      fields.end());
  put_cors(mode, ask, find("Access-Control-Allow-Origin") != fields.end(), put);
  if (find("Access-Control-Expose-Headers") == fields.end()) {
    put("Access-Control-Expose-Headers", "Location, ETag, Link");
  }
  if (!allow.empty()) put_preflight(mode, ask, allow, put);
}

}  // namespace

struct RtcRoom::RtcExchange : Exchange {
  explicit RtcExchange(Exchange&& basics) : Exchange(std::move(basics)) {}

  std::uint64_t call = 0;  // of RtcSignal
  RtcRequest request;      // until it is begun
  ipc::OriginRef origin;
};

RtcRoom::RtcRoom(const Process& process, const std::optional<ipc::FlowView>& flows,
                 SessionId& next_session)
    : process_(process),
      server_(process.server),
      signal_({process.base, process.config, process.state, flows, process.link, process.counters,
               process.hooks, process.resolver, process.tls, next_session},
              process.hint_key,
              [this](std::uint64_t owner, const RtcAnswer& what) { on_answer(owner, what); }) {}

RtcRoom::RtcExchange& RtcRoom::exchange(std::uint32_t index) {
  return static_cast<RtcExchange&>(*server_[index].exchange);
}

bool RtcRoom::begin(std::uint32_t index, const RequestHead& head, Exchange& basics) {
  const Config& config = process_.config;
  RtcPlan plan = plan_rtc(
      head, {process_.hint_key, config.rtc.whip_path, config.rtc.whep_path, &process_.aliases});
  if (plan.step == RtcStep::kElsewhere) return false;
  server_[index].exchange = std::make_unique<RtcExchange>(std::move(basics));
  server_[index].exchange->key = plan.key;
  const bool local = plan.target.empty() || !head.body.empty();
  if (plan.step == RtcStep::kEmpty || (plan.step == RtcStep::kPreflight && local)) {
    RtcAnswer what = rtc_preflight(plan.allow);
    if (plan.step == RtcStep::kEmpty) what.status = 204;
    add_cors(server_[index], what, plan.allow);
    answer(index, what, !head.body.empty());
  } else if (plan.step == RtcStep::kRefused) {
    refuse(index, plan, plan.status, plan.error, !head.body.empty());
  } else {
    take(index, head, std::move(plan));
  }
  return true;
}

void RtcRoom::take(std::uint32_t index, const RequestHead& head, RtcPlan&& plan) {
  const Connection& conn = server_[index];
  RtcExchange& x = exchange(index);
  RtcRequest& request = x.request;
  request.head = head_for_origin(head, plan, x.identity);
  if (request.head.empty()) {
    refuse(index, plan, 400, "the request cannot be passed on", true);
    return;
  }
  request.plan = std::move(plan);
  request.method = head.method;
  request.session = conn.id;
  request.client = x.identity.client;
  request.page = head.fields.get(HeaderId::kReferer);
  const Field* prefix = head.fields.find("X-Forwarded-Prefix");
  if (!x.identity.host.empty()) request.base = x.identity.base_url();
  if (prefix != nullptr && server_.trusted().contains(conn.client)) {
    request.base += public_prefix(prefix->value);
  }
  server_.collect_body(index, head, limits::kSignalBodyBytes);
}

void RtcRoom::refuse_body(std::uint32_t index, int status, std::string_view why) {
  refuse(index, exchange(index).request.plan, status,
         status == 413 ? "the body is larger than 64 KiB" : why, true);
}

void RtcRoom::on_body(std::uint32_t index, std::string&& body) {
  RtcExchange& x = exchange(index);
  RtcRequest request = std::move(x.request);
  const bool offer = request.plan.step == RtcStep::kOffer || request.plan.step == RtcStep::kPatch;
  if (offer && body.empty()) {
    refuse(index, request.plan, 400, "the body is empty", false);
    return;
  }
  if (request.method != Method::kDelete) request.body = std::move(body);
  const std::uint64_t owner = Token{index, server_[index].generation, 0}.pack();
  const std::uint64_t call = signal_.start(owner, std::move(request));
  if (!x.answered) x.call = call;
}

void RtcRoom::on_answer(std::uint64_t owner, const RtcAnswer& what) {
  const Token token = Token::unpack(owner);
  if (!server_.valid({token.index, token.generation})) return;
  if (!server_[token.index].exchange || server_[token.index].exchange->room != this) return;
  RtcExchange& x = exchange(token.index);
  x.call = 0;
  x.key = what.key;
  x.origin = what.origin;
  RtcAnswer full = what;
  add_cors(server_[token.index], full, full.allow);
  answer(token.index, full, false);
}

void RtcRoom::refuse(std::uint32_t index, const RtcPlan& plan, int status, std::string_view why,
                     bool close) {
  RtcAnswer what = rtc_error(plan.api, status, why);
  if (!plan.allow.empty()) what.fields.emplace_back("Allow", plan.allow);
  add_cors(server_[index], what, {});
  answer(index, what, close);
}

void RtcRoom::answer(std::uint32_t index, const RtcAnswer& what, bool close) {
  Answer out{what.status, what.content_type, what.body};
  out.close = close;
  out.fields = &what.fields;
  server_.answer(index, out);
}

void RtcRoom::on_end(std::uint32_t index, EndReason) {
  RtcExchange& x = exchange(index);
  if (x.call != 0) signal_.cancel(std::exchange(x.call, 0));
  const Connection& conn = server_[index];
  if (conn.mark.texts) conn.mark.texts->origin = origin_text(process_.state, x.origin);
}

}  // namespace weir::http
