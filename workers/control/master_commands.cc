#include "workers/control/master_commands.h"

#include <algorithm>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "workers/control/json.h"

namespace weir::control {
namespace {

using ipc::MasterAction;

// Longer than a reload or an upgrade may take with the greatest worker_ready_timeout.
constexpr std::uint64_t kAnswerMs = 900000;
constexpr std::size_t kTextBytes = 16384;

struct Row {
  std::string_view path;
  MasterAction action;
};
constexpr Row kRows[] = {
    {"/api/v1/reload", MasterAction::kReload},  {"/api/v1/upgrade", MasterAction::kUpgrade},
    {"/api/v1/reopen", MasterAction::kReopen},  {"/api/v1/quit", MasterAction::kQuit},
    {"/api/v1/stop", MasterAction::kStop},      {"/api/v1/drain", MasterAction::kDrain},
    {"/api/v1/undrain", MasterAction::kUndrain}};

}  // namespace

std::optional<MasterAction> MasterCommands::action_of(std::string_view path) {
  for (const Row& row : kRows) {
    if (row.path == path) return row.action;
  }
  return std::nullopt;
}

bool MasterCommands::order(const HttpRequest& request, MasterAction action, http::ConnHandle client,
                           HttpResponse& response) {
  if (request.caller != Caller::kOperator) {
    response = make_error(403, api_code::kForbidden,
                          "this is answered over the control socket only; use weirctl");
    return false;
  }
  if (request.method != http::Method::kPost) {
    response = bad_method("POST");
    return false;
  }
  ipc::MasterCommand message;
  message.action = action;
  LogLine(LogLevel::kNotice, "ordered over the control socket")
      .field("order", request.path.substr(request.path.rfind('/') + 1))
      .field("uid", request.uid);
  const std::uint32_t number = send_(message);
  if (number == 0) {
    response = retry_later(api_code::kNoAnswer, "the master cannot be reached");
    return false;
  }
  pending_[number] = {client, monotonic_ms() + kAnswerMs, {}};
  return true;
}

void MasterCommands::on_news(const ipc::CommandNews& news) {
  const auto found = pending_.find(news.header.request);
  if (found == pending_.end()) return;  // it came too late
  Pending& pending = found->second;
  const std::string_view text = news.text.view();
  pending.text.append(text.substr(0, kTextBytes - std::min(kTextBytes, pending.text.size())));
  if (news.result == ipc::CommandResult::kMore) return;
  const Pending done = std::move(pending);
  pending_.erase(found);
  if (news.result == ipc::CommandResult::kFailed) {
    return respond_(done.client, make_error(409, api_code::kRefused, done.text));
  }
  const JsonPtr json = make_object();
  add_number(json.get(), "code", 0);
  add_text(json.get(), "text", done.text);
  HttpResponse response;
  response.body = print(json.get());
  respond_(done.client, response);
}

void MasterCommands::expire(std::uint64_t now_ms) {
  for (auto it = pending_.begin(); it != pending_.end();) {
    if (now_ms < it->second.deadline_ms) {
      ++it;
      continue;
    }
    const http::ConnHandle client = it->second.client;
    it = pending_.erase(it);
    respond_(client, retry_later(api_code::kNoAnswer, "the master did not answer in time"));
  }
}

}  // namespace weir::control
