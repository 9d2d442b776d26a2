#include "workers/control/api.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/secret.h"
#include "common/base/version.h"
#include "ipc/origin_walk.h"
#include "workers/control/json.h"
#include "workers/control/registration.h"
#include "workers/control/session_views.h"
#include "workers/control/text.h"
#include "workers/control/views.h"

namespace weir::control {
namespace {

using ipc::Counter;
using ipc::ReplyCode;

constexpr std::uint64_t kReplyMs = 5000;           // how long the master may take
constexpr std::uint64_t kHeartbeatStaleMs = 5000;  // it beats each second
constexpr std::string_view kOriginsPrefix = "/api/v1/origins/";
constexpr std::string_view kSessionsPrefix = "/api/v1/sessions/";

HttpResponse answer(const cJSON* json) {
  HttpResponse response;
  response.body = print(json);
  return response;
}

HttpResponse not_found() {
  return make_error(404, api_code::kNotFound, "there is nothing at this path");
}

// By verdict, from kForeignHost on.
constexpr std::array<Counter, 4> kCrossSiteCounters = {
    Counter::kApiForeignHost, Counter::kApiForeignOrigin, Counter::kApiOtherSite,
    Counter::kApiSilentBrowser};

std::string who(const HttpRequest& request) {
  if (request.caller == Caller::kNetwork) return to_string(request.peer);
  return "uid " + std::to_string(request.uid);
}

bool is_read(http::Method method) {
  return method == http::Method::kGet || method == http::Method::kHead;
}

// ?start= and ?count=; an error names the parameter.
tl::expected<Page, std::string> parse_page(std::string_view query, std::uint64_t max) {
  Page page{0, max};
  if (const auto start = query_value(query, "start")) {
    const auto number = parse_number(*start, UINT32_MAX);
    if (!number) return tl::unexpected<std::string>("start is not a number from 0 to 4294967295");
    page.start = *number;
  }
  if (const auto count = query_value(query, "count")) {
    const auto number = parse_number(*count, UINT32_MAX);
    if (!number || *number == 0) {
      return tl::unexpected<std::string>("count is not a number from 1 to 4294967295");
    }
    page.count = std::min(*number, max);
  }
  return page;
}

}  // namespace

Api::Api(const ipc::StateView& state, const ipc::FlowView* flows,
         const ipc::CountersView& all_counters, ipc::Counters& counters, ApiSettings settings,
         Master master, Respond respond)
    : state_(state),
      flows_(flows),
      all_counters_(all_counters),
      counters_(counters),
      settings_(std::move(settings)),
      master_(std::move(master)),
      respond_(std::move(respond)),
      commands_(master_.send_master_command,
                [this](http::ConnHandle client, const HttpResponse& response) {
                  if (response.status >= 400) counters_.add(Counter::kApiErrors);
                  respond_(client, response);
                }) {}

HttpResponse Api::refuse(int status, std::string_view why) {
  counters_.add(Counter::kApiErrors);
  return make_refusal(status, why);
}

void Api::on_request(const HttpRequest& request, http::ConnHandle token) {
  HttpResponse response;
  if (route(request, token, response)) return;
  finish(request, token, response);
}

void Api::finish(const HttpRequest& request, http::ConnHandle token, const HttpResponse& response) {
  if (response.status >= 400) counters_.add(Counter::kApiErrors);
  if (log_enabled(LogLevel::kDebug)) {
    LogLine(LogLevel::kDebug, "api request")
        .field("client", request.peer)
        .field("method", to_string(request.method))
        .field("path", path_for_log(request))
        .field("status", response.status)
        .field("bytes", response.body.size());
  }
  respond_(token, response);
}

void Api::log_refused(const weir::Endpoint& peer, std::string_view why) {
  std::uint64_t suppressed = 0;
  if (!refusals_.take(monotonic_ms(), suppressed)) return;
  LogLine(LogLevel::kWarn, "registration refused")
      .field("client", peer)
      .field("error", why)
      .field("suppressed", suppressed);
}

bool Api::carries_token(const HttpRequest& request) const {
  if (settings_.token.empty()) return false;
  static constexpr std::string_view kBearer = "Bearer ";
  const std::string_view header = request.authorization;
  if (header.substr(0, kBearer.size()) == kBearer &&
      equal_secrets(header.substr(kBearer.size()), settings_.token)) {
    return true;
  }
  const auto parameter = query_value(request.query, "token");
  if (parameter && equal_secrets(*parameter, settings_.token)) return true;
  std::string_view last = request.path_token;
  if (last.ends_with('/')) last.remove_suffix(1);
  const auto in_path = percent_decode(last, false);
  return in_path && equal_secrets(*in_path, settings_.token);
}

bool Api::needs_token(const HttpRequest& request) const {
  if (request.path == kRegisterPath && !settings_.register_from.empty()) {
    return !settings_.register_from.contains(request.peer);
  }
  return !settings_.token.empty();
}

// A token that stands at the wrong place stays a secret, too.
std::string Api::path_for_log(const HttpRequest& request) const {
  const std::string path = percent_decode(request.path, false).value_or(request.path);
  if (settings_.token.empty() || path.find(settings_.token) == std::string::npos) {
    return request.path;
  }
  return "(has the token in it)";
}

// Whoever knows the token is no page of another site; whoever needs none could be one. No page
// reaches the control socket.
std::optional<HttpResponse> Api::refuse_stranger(const HttpRequest& request) {
  if (request.caller == Caller::kOperator) return std::nullopt;
  if (request.caller == Caller::kStranger) {
    return make_error(403, api_code::kForbidden, "this user may not use the control socket");
  }
  if (carries_token(request)) return std::nullopt;
  if (!needs_token(request)) return refuse_other_site(request);
  const std::string why = settings_.token.empty() ? "control.register_from has not this address"
                                                  : "the token is missing or wrong";
  if (request.path == kRegisterPath) log_refused(request.peer, why);
  if (settings_.token.empty()) return make_error(403, api_code::kUnauthorized, why);
  HttpResponse response = make_error(401, api_code::kUnauthorized, why);
  response.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"weir\"");
  return response;
}

std::optional<HttpResponse> Api::refuse_other_site(const HttpRequest& request) {
  const RequestSource& source = request.source;
  const CrossSite verdict = judge_source(request.method, source, settings_.hosts);
  if (verdict == CrossSite::kNone) return std::nullopt;
  counters_.add(kCrossSiteCounters[static_cast<std::size_t>(verdict) - 1]);
  std::uint64_t suppressed = 0;
  if (cross_site_.take(monotonic_ms(), suppressed)) {
    LogLine line(LogLevel::kWarn, "request refused: a page of another site may have sent it");
    line.field("client", request.peer)
        .field("method", to_string(request.method))
        .field("path", path_for_log(request))
        .field("reason", to_string(verdict))
        .field("host", source.host);
    if (source.has_origin) line.field("origin", source.origin);
    if (source.has_site) line.field("site", source.site);
    line.field("suppressed", suppressed);
  }
  return make_error(403, api_code::kCrossSite, explain(verdict, source));
}

bool Api::route(const HttpRequest& request, http::ConnHandle token, HttpResponse& response) {
  struct Read {
    std::string_view path;
    Handler handler;
    bool open;  // without token
  };
  static constexpr std::array<Read, 10> kReads = {{{"/healthz", &Api::healthz, true},
                                                   {"/readyz", &Api::readyz, true},
                                                   {"/metrics", &Api::metrics, false},
                                                   {"/api/v1/versions", &Api::versions, false},
                                                   {"/api/v1/origins", &Api::origins, false},
                                                   {"/api/v1/streams", &Api::streams, false},
                                                   {"/api/v1/sessions", &Api::sessions, false},
                                                   {"/api/v1/workers", &Api::workers, false},
                                                   {"/api/v1/config", &Api::config, false},
                                                   {"/api/v1/summaries", &Api::summaries, false}}};
  std::string_view path = request.path;
  if (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const auto* read = std::find_if(kReads.begin(), kReads.end(),
                                  [&](const Read& entry) { return entry.path == path; });
  if (read == kReads.end() || !read->open) {
    if (auto refusal = refuse_stranger(request)) {
      response = std::move(*refusal);
      return false;
    }
  }
  if (read != kReads.end()) {
    response = is_read(request.method) ? (this->*read->handler)(request) : bad_method("GET, HEAD");
    return false;
  }
  if (const auto action = MasterCommands::action_of(path)) {
    return commands_.order(request, *action, token, response);
  }
  if (path == kRegisterPath) return register_origin(request, token, response);
  if (path.substr(0, kOriginsPrefix.size()) == kOriginsPrefix) {
    return route_origin(request, path.substr(kOriginsPrefix.size()), token, response);
  }
  if (path.substr(0, kSessionsPrefix.size()) == kSessionsPrefix) {
    response = route_session(request, path.substr(kSessionsPrefix.size()));
    return false;
  }
  response = not_found();
  return false;
}

// GET shows the session, DELETE ends it and all that were signalled with it. The answer to that
// does not wait for the master: it means that the session was there and that the order is under
// way.
HttpResponse Api::route_session(const HttpRequest& request, std::string_view id) {
  const bool kick = request.method == http::Method::kDelete;
  if (!kick && !is_read(request.method)) return bad_method("GET, HEAD, DELETE");
  const auto ref = parse_flow_id(id);
  ipc::FlowRecord flow;
  if (!ref || flows_ == nullptr || !flows_->read(*ref, flow)) {
    return make_error(404, api_code::kNotFound, "there is no such session");
  }
  const JsonPtr json = make_object();
  add_number(json.get(), "code", 0);
  if (!kick) {
    add_child(json.get(), "session", session_row(state_, flow, ref->slot, monotonic_ms()));
    return answer(json.get());
  }
  ipc::FlowEnd message;
  message.flow = *ref;
  message.reason = ipc::FlowEndReason::kKicked;
  if (!master_.send_flow_end(message)) {
    return retry_later(api_code::kNoAnswer, "the master cannot be reached");
  }
  LogLine(LogLevel::kNotice, "session is ended by the API")
      .session(flow.session)
      .field("by", who(request));
  add_text(json.get(), "session", flow_id(*ref));
  return answer(json.get());
}

// <id>, <id>/drain, <id>/undrain
bool Api::route_origin(const HttpRequest& request, std::string_view rest, http::ConnHandle token,
                       HttpResponse& response) {
  const std::size_t slash = rest.find('/');
  const auto ref = parse_origin_id(rest.substr(0, slash));
  const std::string_view verb =
      slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
  const bool known = slash == std::string_view::npos || verb == "drain" || verb == "undrain";
  ipc::OriginRecord origin;
  if (!known) {
    response = not_found();
    return false;
  }
  if (slash == std::string_view::npos && !is_read(request.method) &&
      request.method != http::Method::kDelete) {
    response = bad_method("GET, HEAD, DELETE");
    return false;
  }
  if (slash != std::string_view::npos && request.method != http::Method::kPost) {
    response = bad_method("POST");
    return false;
  }
  if (!ref || !state_.read_origin(*ref, origin)) {
    response = make_error(404, api_code::kNotFound, "there is no such origin");
    return false;
  }
  if (slash != std::string_view::npos) {
    return command(request, *ref, verb == "drain" ? Action::kDrain : Action::kUndrain, token,
                   response);
  }
  if (request.method == http::Method::kDelete) {
    return command(request, *ref, Action::kRemove, token, response);
  }
  const JsonPtr json = make_object();
  add_number(json.get(), "code", 0);
  add_child(json.get(), "origin", origin_row(origin, ref->slot, monotonic_ms()));
  response = answer(json.get());
  return false;
}

bool Api::register_origin(const HttpRequest& request, http::ConnHandle token,
                          HttpResponse& response) {
  if (request.method != http::Method::kPost) {
    response = bad_method("POST");
    return false;
  }
  auto message = parse_registration(request.body);
  if (!message) {
    const std::string why = message.error().field + " " + message.error().text;
    log_refused(request.peer, why);
    response = make_error(400, api_code::kBadField, why);
    return false;
  }
  return wait(master_.send_register(*message), Pending{token, Action::kRegister, request.peer, 0},
              response);
}

bool Api::command(const HttpRequest& request, ipc::OriginRef origin, Action action,
                  http::ConnHandle token, HttpResponse& response) {
  ipc::OriginCommand message;
  message.origin = origin;
  message.action = action == Action::kDrain     ? ipc::OriginAction::kDrain
                   : action == Action::kUndrain ? ipc::OriginAction::kUndrain
                                                : ipc::OriginAction::kRemove;
  return wait(master_.send_command(message), Pending{token, action, request.peer, 0}, response);
}

bool Api::wait(std::uint32_t number, Pending pending, HttpResponse& response) {
  if (number == 0) {
    response = retry_later(api_code::kNoAnswer, "the master cannot be reached");
    return false;
  }
  pending.deadline_ms = monotonic_ms() + kReplyMs;
  pending_[number] = pending;
  return true;
}

void Api::on_reply(const ipc::Reply& reply) {
  const auto found = pending_.find(reply.header.request);
  if (found == pending_.end()) return;  // it came too late
  const Pending pending = found->second;
  pending_.erase(found);
  const std::string text(reply.text.view());
  HttpResponse response;
  switch (reply.code) {
    case ReplyCode::kOk: {
      const JsonPtr json = make_object();
      add_number(json.get(), "code", 0);
      if (pending.action == Action::kRegister) {
        counters_.add(Counter::kApiRegistrations);
        add_text(json.get(), "pid", std::to_string(state_.header().master_pid));
      } else {
        add_text(json.get(), "origin", origin_id(reply.origin));
      }
      response = answer(json.get());
      break;
    }
    case ReplyCode::kNotFound:
      response =
          make_error(404, api_code::kNotFound, text.empty() ? "there is no such origin" : text);
      break;
    case ReplyCode::kTableFull:
      response =
          retry_later(api_code::kTableFull, text.empty() ? "the table of origins is full" : text);
      break;
    case ReplyCode::kStatic:
      response = make_error(409, api_code::kStatic,
                            text.empty() ? "the origin stands in the configuration" : text);
      break;
    case ReplyCode::kInvalid:
      response = make_error(400, api_code::kRefused, text.empty() ? "refused" : text);
      break;
  }
  if (response.status >= 400) counters_.add(Counter::kApiErrors);
  if (response.status >= 400 && pending.action == Action::kRegister) {
    log_refused(pending.peer, text.empty() ? "refused by the master" : text);
  }
  respond_(pending.token, response);
}

void Api::expire(std::uint64_t now_ms) {
  commands_.expire(now_ms);
  for (auto it = pending_.begin(); it != pending_.end();) {
    if (now_ms < it->second.deadline_ms) {
      ++it;
      continue;
    }
    const http::ConnHandle token = it->second.token;
    it = pending_.erase(it);
    counters_.add(Counter::kApiErrors);
    respond_(token, retry_later(api_code::kNoAnswer, "the master did not answer in time"));
  }
}

HttpResponse Api::versions(const HttpRequest&) {
  const JsonPtr json = make_object();
  add_number(json.get(), "code", 0);
  add_text(json.get(), "signature", "Weir");
  add_text(json.get(), "version", version());
  return answer(json.get());
}

HttpResponse Api::origins(const HttpRequest& request) {
  const auto page = parse_page(request.query, settings_.page_size_max);
  if (!page) return make_error(400, api_code::kBadParameter, page.error());
  return answer(origins_page(state_, *page, monotonic_ms()).get());
}

const ipc::StateView* Api::before() const {
  const ipc::StateView* const state = settings_.before;
  return state != nullptr && ipc::beats(*state, monotonic_ms()) ? state : nullptr;
}

HttpResponse Api::streams(const HttpRequest& request) {
  if (auto key = query_value(request.query, "key")) {
    ipc::StreamRecord stream;
    // As it stands in the table, else a name that is asked for.
    std::uint32_t slot = state_.find_slot(*key, stream);
    if (slot == ipc::kNoSlot) {
      const route::StreamKey meant = settings_.aliases.of_key(route::parse_stream_key(*key));
      if (meant.ok()) *key = meant.text;
      slot = state_.find_slot(*key, stream);
    }
    // Another stream may have the slot by now.
    if (!state_.read_stream(slot, stream) || stream.key_text() != *key) {
      return make_error(404, api_code::kNotFound, "there is no such stream");
    }
    const JsonPtr json = make_object();
    add_number(json.get(), "code", 0);
    add_number(json.get(), "total", 1);
    add_number(json.get(), "start", 0);
    cJSON* list = add_child(json.get(), "streams", make_array());
    append(list, stream_row(state_, stream, monotonic_ms(), before()));
    return answer(json.get());
  }
  const auto page = parse_page(request.query, settings_.page_size_max);
  if (!page) return make_error(400, api_code::kBadParameter, page.error());
  return answer(streams_page(state_, *page, monotonic_ms(), before()).get());
}

HttpResponse Api::sessions(const HttpRequest& request) {
  const auto page = parse_page(request.query, settings_.page_size_max);
  if (!page) return make_error(400, api_code::kBadParameter, page.error());
  if (flows_ == nullptr) return retry_later(api_code::kNotReady, "the table cannot be read");
  return answer(sessions_page(state_, *flows_, *page, monotonic_ms()).get());
}

HttpResponse Api::workers(const HttpRequest&) {
  return answer(workers_answer(state_, all_counters_).get());
}

HttpResponse Api::summaries(const HttpRequest&) {
  return answer(summaries_answer(state_, all_counters_, wall_ms()).get());
}

HttpResponse Api::healthz(const HttpRequest&) {
  const std::uint64_t beat = state_.header().heartbeat_ms.load(std::memory_order_relaxed);
  const std::uint64_t now = monotonic_ms();
  if (now > beat && now - beat > kHeartbeatStaleMs) {
    return make_error(
        503, api_code::kNotReady,
        "the master has given no sign of life for " + std::to_string(now - beat) + " ms");
  }
  const JsonPtr json = make_object();
  add_number(json.get(), "code", 0);
  add_text(json.get(), "status", "ok");
  return answer(json.get());
}

// What a machine's own operators may see, and nobody else: it names files, networks and origins.
HttpResponse Api::config(const HttpRequest& request) {
  if (request.caller != Caller::kOperator) {
    return make_error(403, api_code::kForbidden,
                      "this is answered over the control socket only; use weirctl");
  }
  HttpResponse response;
  response.content_type = "text/plain; charset=utf-8";
  response.body = settings_.config;
  return response;
}

HttpResponse Api::readyz(const HttpRequest&) {
  const ipc::Leaving leaving = state_.header().leaving.load(std::memory_order_relaxed);
  if (leaving != ipc::Leaving::kNo) {
    return make_error(
        503, api_code::kNotReady,
        leaving == ipc::Leaving::kStopping ? "stopping" : "drained: `weirctl undrain` ends that");
  }
  if (state_.header().generation.load(std::memory_order_relaxed) == 0) {
    return make_error(503, api_code::kNotReady, "the first workers are not all ready yet");
  }
  if (settings_.needs_rtmp_worker && !has_ready_worker(state_, ipc::WorkerKind::kRtmp)) {
    return make_error(503, api_code::kNotReady, "no RTMP worker is ready");
  }
  const OriginCounts counts = count_origins(state_);
  if (counts.up == 0) return make_error(503, api_code::kNotReady, "no origin is up");
  const JsonPtr json = make_object();
  add_number(json.get(), "code", 0);
  add_text(json.get(), "status", "ready");
  add_number(json.get(), "origins_up", counts.up);
  return answer(json.get());
}

HttpResponse Api::metrics(const HttpRequest&) {
  HttpResponse response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = metrics_text(state_, all_counters_, settings_.certificate_end);
  if (flows_ != nullptr) response.body += session_metrics(*flows_);
  return response;
}

}  // namespace weir::control
