#include "workers/http/api_room.h"

#include <unistd.h>

#include <memory>
#include <utility>

#include "common/base/clock.h"
#include "common/base/version.h"

namespace weir::http {
namespace {

constexpr std::string_view kJson = "application/json";
constexpr std::string_view kScript = "text/javascript";
constexpr std::size_t kBodyMost = 64 * 1024;  // that is read, and forgotten

}  // namespace

struct ApiRoom::ApiExchange : Exchange {
  explicit ApiExchange(Exchange&& basics) : Exchange(std::move(basics)) {}

  ApiPlan plan;               // until it is begun
  std::string authorization;  // for the origins
  std::string callback;
  std::uint64_t call = 0;  // of ApiCalls
};

ApiRoom::ApiExchange& ApiRoom::exchange(std::uint32_t index) {
  return static_cast<ApiExchange&>(*server_[index].exchange);
}

ApiRoom::ApiRoom(const Process& process)
    : process_(process),
      server_(process.server),
      calls_(process.base, process.state, process.tls, process.config.http_api.timeout,
             [this](std::uint64_t call, const ApiAnswer& what) { on_answer(call, what); }) {}

// Requests that may not be made. True when it was answered.
bool ApiRoom::refuse(std::uint32_t index, const RequestHead& head) {
  const std::string& token = process_.config.http_api.token;
  const bool close = !head.body.empty();  // it is not read, so the connection cannot go on
  if (!carries_token(token, head.fields.get(HeaderId::kAuthorization), head.query)) {
    answer(index, api_error(401, api_code::kUnauthorized, "the token is missing or wrong"), {},
           close);
    return true;
  }
  const ApiPlan& plan = exchange(index).plan;
  if (plan.kind == ApiKind::kRefused) {
    answer(index, api_error(plan.status, plan.code, plan.error), plan.allow, close);
    return true;
  }
  const Connection& conn = server_[index];
  if (plan.kind != ApiKind::kRemove || may_change(token, conn.client, server_.trusted())) {
    return false;
  }
  std::uint64_t suppressed = 0;
  if (refused_kicks_.take(monotonic_ms(), suppressed)) {
    LogLine(LogLevel::kWarn, "kick refused: no http_api.token, and not from a trusted network")
        .session(conn.id)
        .field("client", conn.client)
        .field("path", head.path)
        .field("suppressed", suppressed);
  }
  answer(index,
         api_error(403, api_code::kUnauthorized,
                   "set http_api.token, or ask from http.trusted_networks"),
         {}, close);
  return true;
}

bool ApiRoom::begin(std::uint32_t index, const RequestHead& head, Exchange& basics) {
  server_[index].exchange = std::make_unique<ApiExchange>(std::move(basics));
  ApiExchange& x = exchange(index);
  if (head.method == Method::kOptions) {
    server_.answer(index, {204, {}, {}, "GET, HEAD, DELETE, OPTIONS"});
    return true;
  }
  x.plan = plan_api(head.method, head.path, head.query);
  x.callback = x.plan.callback;
  // Without a token of ours, the credentials are meant for the origins.
  if (process_.config.http_api.token.empty()) {
    x.authorization = head.fields.get(HeaderId::kAuthorization);
  }
  if (!refuse(index, head)) server_.collect_body(index, head, kBodyMost);
  return true;
}

void ApiRoom::refuse_body(std::uint32_t index, int status, std::string_view why) {
  answer(index, api_refusal(status, why), {}, true);
}

void ApiRoom::on_body(std::uint32_t index, std::string&&) {
  if (exchange(index).plan.kind != ApiKind::kVersions) {
    start(index);
  } else {
    answer(index, api_versions(version(), static_cast<std::uint64_t>(::getppid())));
  }
}

void ApiRoom::start(std::uint32_t index) {
  ApiExchange& x = exchange(index);
  const auto started = calls_.start(std::move(x.plan), x.authorization);
  if (started.answer) {
    answer(index, *started.answer);
    return;
  }
  x.call = started.call;
  waiting_.emplace(started.call, index);
}

void ApiRoom::on_answer(std::uint64_t call, const ApiAnswer& what) {
  const auto found = waiting_.find(call);
  if (found == waiting_.end()) return;
  const std::uint32_t index = found->second;
  waiting_.erase(found);
  exchange(index).call = 0;
  answer(index, what);
}

void ApiRoom::answer(std::uint32_t index, const ApiAnswer& what, std::string_view allow,
                     bool close) {
  const std::string& callback = exchange(index).callback;
  if (callback.empty()) {
    server_.answer(index, {what.status, kJson, what.body, allow, close});
    return;
  }
  const std::string_view json(what.body);
  std::string script = callback;
  script.append("(").append(json.substr(0, json.find_last_not_of('\n') + 1)).append(")");
  server_.answer(index, {what.status, kScript, script, allow, close});
}

// The client has left before it was answered.
void ApiRoom::on_end(std::uint32_t index, EndReason) {
  ApiExchange& x = exchange(index);
  if (x.call == 0) return;
  waiting_.erase(x.call);
  calls_.cancel(std::exchange(x.call, 0));
}

}  // namespace weir::http
