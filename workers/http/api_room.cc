#include "workers/http/api_room.h"

#include <unistd.h>

#include <memory>
#include <utility>

#include "common/base/version.h"

namespace weir::http {
namespace {

constexpr std::string_view kJson = "application/json";

}  // namespace

struct ApiRoom::ApiExchange : Exchange {
  explicit ApiExchange(Exchange&& basics) : Exchange(std::move(basics)) {}

  std::uint64_t call = 0;  // of ApiCalls
};

ApiRoom::ApiRoom(const Process& process)
    : process_(process),
      server_(process.server),
      calls_(process.base, process.state, process.tls, process.config.http_api.timeout,
             [this](std::uint64_t call, const ApiAnswer& what) { on_answer(call, what); }) {}

// Requests that may not be made. True when it was answered.
bool ApiRoom::refuse(std::uint32_t index, const RequestHead& head) {
  const std::string& token = process_.config.http_api.token;
  const bool close = !head.body.empty();  // a body is not read, so the connection cannot go on
  if (!carries_token(token, head.fields.get(HeaderId::kAuthorization), head.query)) {
    const ApiAnswer refusal =
        api_error(401, api_code::kUnauthorized, "the token is missing or wrong");
    server_.answer(index, {refusal.status, kJson, refusal.body, {}, close});
    return true;
  }
  const Connection& conn = server_[index];
  if (head.method != Method::kDelete || may_change(token, conn.client, server_.trusted())) {
    return false;
  }
  LogLine(LogLevel::kWarn, "kick refused: no http_api.token, and not from a trusted network")
      .session(conn.id)
      .field("client", to_string(conn.client))
      .field("path", head.path);
  const ApiAnswer refusal = api_error(403, api_code::kUnauthorized,
                                      "set http_api.token, or ask from http.trusted_networks");
  server_.answer(index, {refusal.status, kJson, refusal.body, {}, close});
  return true;
}

bool ApiRoom::begin(std::uint32_t index, const RequestHead& head, Exchange& basics) {
  server_[index].exchange = std::make_unique<ApiExchange>(std::move(basics));
  if (head.method == Method::kOptions) {
    server_.answer(index, {204, {}, {}, "GET, HEAD, DELETE, OPTIONS"});
    return true;
  }
  if (refuse(index, head)) return true;
  const bool close = !head.body.empty();
  ApiPlan plan = plan_api(head.method, head.path, head.query);
  if (close && plan.kind != ApiKind::kRefused) {
    plan = ApiPlan{};
    plan.status = 400;
    plan.code = api_code::kBadParameter;
    plan.error = "a body has no meaning here";
  }
  if (plan.kind == ApiKind::kRefused || plan.kind == ApiKind::kVersions) {
    const ApiAnswer own = plan.kind == ApiKind::kVersions
                              ? api_versions(version(), static_cast<std::uint64_t>(::getppid()))
                              : api_error(plan.status, plan.code, plan.error);
    server_.answer(index, {own.status, kJson, own.body, plan.allow, close});
    return true;
  }
  start(index, std::move(plan), head.fields.get(HeaderId::kAuthorization));
  return true;
}

void ApiRoom::start(std::uint32_t index, ApiPlan plan, std::string_view authorization) {
  // Without a token of ours, the credentials are meant for the origins.
  const bool theirs = process_.config.http_api.token.empty();
  const auto started = calls_.start(std::move(plan), theirs ? authorization : "");
  if (started.answer) {
    server_.answer(index, {started.answer->status, kJson, started.answer->body});
    return;
  }
  static_cast<ApiExchange&>(*server_[index].exchange).call = started.call;
  waiting_.emplace(started.call, index);
}

void ApiRoom::on_answer(std::uint64_t call, const ApiAnswer& what) {
  const auto found = waiting_.find(call);
  if (found == waiting_.end()) return;
  const std::uint32_t index = found->second;
  waiting_.erase(found);
  static_cast<ApiExchange&>(*server_[index].exchange).call = 0;
  server_.answer(index, {what.status, kJson, what.body});
}

// The client has left before it was answered.
void ApiRoom::on_end(std::uint32_t index, EndReason) {
  auto& x = static_cast<ApiExchange&>(*server_[index].exchange);
  if (x.call == 0) return;
  waiting_.erase(x.call);
  calls_.cancel(std::exchange(x.call, 0));
}

}  // namespace weir::http
