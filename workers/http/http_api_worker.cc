// HttpWorker on the API port: requests go to HttpApi, and its answers to the clients.
#include <unistd.h>

#include <utility>

#include "common/base/version.h"
#include "workers/http/http_worker.h"

namespace weir::http {
namespace {

constexpr std::string_view kJson = "application/json";

}  // namespace

void HttpWorker::begin_api(std::uint32_t index, const RequestHead& head) {
  // Who publishes and plays has the origin's credentials, not ours.
  if (begin_rtc(index, head)) return;
  if (head.method == Method::kOptions) {
    answer(index, {204, {}, {}, "GET, HEAD, DELETE, OPTIONS"});
    return;
  }
  // A body is not read, so the connection cannot go on.
  const bool close = !head.body.empty();
  const std::string_view authorization = head.fields.get(HeaderId::kAuthorization);
  if (!carries_token(config_.http_api.token, authorization, head.query)) {
    const ApiAnswer refusal =
        api_error(401, api_code::kUnauthorized, "the token is missing or wrong");
    answer(index, {refusal.status, kJson, refusal.body, {}, close});
    return;
  }
  if (head.method == Method::kDelete &&
      !may_change(config_.http_api.token, conns_[index].client, trusted_)) {
    LogLine(LogLevel::kWarn, "kick refused: no http_api.token, and not from a trusted network")
        .session(conns_[index].id)
        .field("client", to_string(conns_[index].client))
        .field("path", head.path);
    const ApiAnswer refusal = api_error(403, api_code::kUnauthorized,
                                        "set http_api.token, or ask from http.trusted_networks");
    answer(index, {refusal.status, kJson, refusal.body, {}, close});
    return;
  }
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
    answer(index, {own.status, kJson, own.body, plan.allow, close});
    return;
  }
  // Without a token of ours, the credentials are meant for the origins.
  const auto started =
      api_.start(std::move(plan), config_.http_api.token.empty() ? authorization : "");
  if (started.answer) {
    answer(index, {started.answer->status, kJson, started.answer->body});
    return;
  }
  Exchange& x = *conns_[index].exchange;
  x.stage = Stage::kApi;
  x.api_call = started.call;
  api_calls_.emplace(started.call, index);
}

void HttpWorker::on_api_answer(std::uint64_t call, const ApiAnswer& what) {
  const auto found = api_calls_.find(call);
  if (found == api_calls_.end()) return;
  const std::uint32_t index = found->second;
  api_calls_.erase(found);
  conns_[index].exchange->api_call = 0;
  answer(index, {what.status, kJson, what.body});
  pump(index);
}

// The client has left.
void HttpWorker::cancel_api(Exchange& x) {
  if (x.rtc_call != 0) rtc_.cancel(std::exchange(x.rtc_call, 0));
  if (x.api_call == 0) return;
  api_calls_.erase(x.api_call);
  api_.cancel(std::exchange(x.api_call, 0));
}

}  // namespace weir::http
