// HttpWorker on the API port: request bodies, and WebRTC signalling between clients and RtcSignal.
#include <algorithm>
#include <utility>

#include "common/base/clock.h"
#include "common/base/limits.h"
#include "common/proto/http/head_writer.h"
#include "workers/http/http_worker.h"

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
  if (!head.host.empty()) writer.field(HeaderId::kHost, head.host);
  writer.copy_end_to_end(head.fields, kNotPassed);
  write_forwarding(writer, identity);
  writer.field(HeaderId::kConnection, "close");
  if (!writer.finish()) return {};
  out.resize(out.size() - 2);
  return out;
}

// 200 and not 204: RFC 9725 names that status for OPTIONS.
RtcAnswer preflight(std::string_view allow) {
  RtcAnswer answer;
  answer.fields = {{"Allow", std::string(allow)}, {"Accept-Post", "application/sdp"}};
  if (allow.find("PATCH") != std::string_view::npos) {
    answer.fields.emplace_back("Accept-Patch", "application/trickle-ice-sdpfrag");
  }
  return answer;
}

void add_cors(RtcAnswer& answer, std::string_view allow) {
  const auto has = [&](std::string_view name) {
    return std::any_of(answer.fields.begin(), answer.fields.end(),
                       [&](const auto& field) { return equal_ignoring_case(field.first, name); });
  };
  if (!has("Access-Control-Allow-Origin")) {
    answer.fields.emplace_back("Access-Control-Allow-Origin", "*");
  }
  if (!has("Access-Control-Expose-Headers")) {
    answer.fields.emplace_back("Access-Control-Expose-Headers", "Location, ETag, Link");
  }
  if (allow.empty()) return;
  answer.fields.emplace_back("Access-Control-Allow-Methods", allow);
  // A star alone does not cover Authorization (Fetch standard, CORS protocol).
  answer.fields.emplace_back("Access-Control-Allow-Headers",
                             "Authorization, Content-Type, If-Match, *");
  answer.fields.emplace_back("Access-Control-Max-Age", "86400");
}

}  // namespace

// False: it is no signalling.
bool HttpWorker::begin_rtc(std::uint32_t index, const RequestHead& head) {
  HttpConn& conn = conns_[index];
  Exchange& x = *conn.exchange;
  const RtcPlanSettings settings{hint_key_, config_.rtc.whip_path, config_.rtc.whep_path};
  RtcPlan plan = plan_rtc(head, settings);
  if (plan.step == RtcStep::kElsewhere) return false;
  x.key = plan.key;
  if (plan.step == RtcStep::kPreflight) {
    RtcAnswer what = preflight(plan.allow);
    if (config_.http.cors) add_cors(what, plan.allow);
    answer_rtc(index, what, !head.body.empty());
    return true;
  }
  if (plan.step == RtcStep::kRefused) {
    refuse_rtc(index, plan, plan.status, plan.error, !head.body.empty());
    return true;
  }
  const bool offer = plan.step == RtcStep::kOffer || plan.step == RtcStep::kPatch;
  if (head.body.framing == Framing::kLength && head.body.length > limits::kSignalBodyBytes) {
    refuse_rtc(index, plan, 413, "the body is larger than 64 KiB", true);
    return true;
  }
  if (offer && head.body.empty()) {
    refuse_rtc(index, plan, 400, "the body is empty", false);
    return true;
  }
  x.rtc = std::make_unique<RtcRequest>();
  x.rtc->head = head_for_origin(head, plan, x.identity);
  if (x.rtc->head.empty()) {
    refuse_rtc(index, plan, 400, "the request cannot be passed on", true);
    return true;
  }
  x.rtc->plan = std::move(plan);
  x.rtc->method = head.method;
  x.rtc->session = conn.id;
  x.rtc->client = x.identity.client;
  x.rtc->page = head.fields.get(HeaderId::kReferer);
  const Field* prefix = head.fields.find("X-Forwarded-Prefix");
  if (!x.identity.host.empty()) x.rtc->base = x.identity.base_url();
  if (prefix != nullptr && trusted_.contains(conn.client)) {
    x.rtc->base += public_prefix(prefix->value);
  }
  x.body = head.body;
  x.left = head.body.length;
  x.stage = Stage::kRequestBody;
  x.deadline_ms = monotonic_ms() + config_.http.request_timeout;
  if (head.expect_continue && !head.body.empty() && conn.in.empty()) {
    conn.side.out.append("HTTP/1.1 100 Continue\r\n\r\n");
  }
  if (head.body.empty()) start_rtc(index);
  return true;
}

// kRequestBody: moves what has come of the body; starts the request when it is whole.
void HttpWorker::take_request_body(std::uint32_t index, bool& progress) {
  HttpConn& conn = conns_[index];
  Exchange& x = *conn.exchange;
  if (conn.in.empty()) return;
  progress = true;
  bool whole = false;
  bool sound = true;
  ByteView rest(conn.in);
  if (x.body.framing == Framing::kLength) {
    const auto mine = static_cast<std::size_t>(std::min<std::uint64_t>(x.left, rest.size()));
    x.rtc->body += as_text(rest.first(mine));
    rest = rest.subspan(mine);
    x.left -= mine;
    whole = x.left == 0;
  } else {
    ParseStatus status = ParseStatus::kComplete;
    while (status == ParseStatus::kComplete && !x.chunked.done() &&
           x.rtc->body.size() <= limits::kSignalBodyBytes) {
      ByteView data;
      status = x.chunked.next(rest, data);
      x.rtc->body += as_text(data);
    }
    whole = x.chunked.done();
    sound = status != ParseStatus::kInvalid;
  }
  conn.in.erase(conn.in.begin(), conn.in.end() - static_cast<std::ptrdiff_t>(rest.size()));
  if (!sound) {
    refuse_rtc(index, x.rtc->plan, 400, "the body's chunks cannot be read", true);
  } else if (x.rtc->body.size() > limits::kSignalBodyBytes) {
    refuse_rtc(index, x.rtc->plan, 413, "the body is larger than 64 KiB", true);
  } else if (whole) {
    start_rtc(index);
  }
}

void HttpWorker::start_rtc(std::uint32_t index) {
  HttpConn& conn = conns_[index];
  Exchange& x = *conn.exchange;
  RtcRequest request = std::move(*x.rtc);
  x.rtc.reset();
  const bool offer = request.plan.step == RtcStep::kOffer || request.plan.step == RtcStep::kPatch;
  if (offer && request.body.empty()) {
    refuse_rtc(index, request.plan, 400, "the body is empty", false);
    return;
  }
  if (request.method == Method::kDelete) request.body.clear();
  request.head += "Content-Length: " + std::to_string(request.body.size()) + "\r\n";
  x.stage = Stage::kApi;
  x.deadline_ms = 0;  // RtcSignal has its own
  const std::uint64_t call =
      rtc_.start(Token{index, conn.generation, 0}.pack(), std::move(request));
  if (x.stage == Stage::kApi) x.rtc_call = call;
}

void HttpWorker::on_rtc_answer(std::uint64_t owner, const RtcAnswer& what) {
  const Token token = Token::unpack(owner);
  HttpConn& conn = conns_[token.index];
  if (!conn.used || conn.generation != token.generation || !conn.exchange) return;
  const bool later = std::exchange(conn.exchange->rtc_call, 0) != 0;
  RtcAnswer full = what;
  conn.exchange->key = what.key;
  conn.exchange->origin = what.origin;
  if (config_.http.cors) add_cors(full, {});
  answer_rtc(token.index, full, false);
  if (later) pump(token.index);
}

void HttpWorker::refuse_rtc(std::uint32_t index, const RtcPlan& plan, int status,
                            std::string_view why, bool close) {
  RtcAnswer what = rtc_error(plan.api, status, why);
  if (!plan.allow.empty()) what.fields.emplace_back("Allow", plan.allow);
  if (config_.http.cors) add_cors(what, {});
  answer_rtc(index, what, close);
}

void HttpWorker::answer_rtc(std::uint32_t index, const RtcAnswer& what, bool close) {
  Answer out{what.status, what.content_type, what.body};
  out.close = close;
  out.fields = &what.fields;
  answer(index, out);
}

}  // namespace weir::http
