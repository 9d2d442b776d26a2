#include "workers/core/hook_plan.h"

#include <cjson/cJSON.h>

#include <algorithm>
#include <array>
#include <memory>

#include "common/base/escape.h"
#include "common/proto/http/head.h"
#include "common/proto/http/target.h"
#include "common/route/stream_key.h"

namespace weir {
namespace {

constexpr std::size_t kShownBytes = 80;  // of an answer, in the log

struct FreeJson {
  void operator()(cJSON* json) const { cJSON_Delete(json); }
};

void member(std::string& out, std::string_view name, std::string_view value) {
  out += out.empty() ? '{' : ',';
  append_quoted(out, name);
  out += ':';
  append_quoted(out, value);
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

// `code` of a JSON object is the number 0.
bool has_code_zero(std::string_view body) {
  if (!body.starts_with("{")) return false;
  const std::string text(body);
  const std::unique_ptr<cJSON, FreeJson> json(
      cJSON_ParseWithLengthOpts(text.c_str(), text.size() + 1, nullptr, 1));
  const cJSON* code = cJSON_GetObjectItemCaseSensitive(json.get(), "code");
  return cJSON_IsNumber(code) != 0 && code->valuedouble == 0;
}

}  // namespace

std::string_view to_string(HookAction action) {
  static constexpr std::array<std::string_view, kHookActions> kNames = {"on_play", "on_publish",
                                                                        "on_stop", "on_unpublish"};
  return kNames[static_cast<std::size_t>(action)];
}

std::string hook_body(const HookEvent& event, const HookSender& sender) {
  std::string url = event.vhost == route::kDefaultVhost ? "" : event.vhost;
  url.append("/").append(event.app).append("/").append(event.stream);
  std::string out;
  member(out, "server_id", sender.server_id);
  member(out, "service_id", sender.service_id);
  member(out, "action", to_string(event.action));
  member(out, "client_id", session_text(event.session));
  member(out, "ip", ip_to_string(event.client));
  member(out, "vhost", event.vhost);
  member(out, "app", event.app);
  member(out, "tcUrl", event.tc_url);
  member(out, "stream", event.stream);
  member(out, "param", event.param);
  if (event.action == HookAction::kPlay) member(out, "pageUrl", event.page_url);
  member(out, "stream_url", url);
  return out + "}";
}

HookEvent udp_hook_event(HookAction action, SessionId session, const Endpoint& client,
                         std::string_view key, std::string_view param) {
  HookEvent event;
  event.action = action;
  event.session = session;
  event.client = client;
  const std::size_t first = std::min(key.find('/'), key.size());
  const std::size_t last = key.rfind('/');
  event.vhost = key.substr(0, first);
  if (first < last && last != key.npos) event.app = key.substr(first + 1, last - first - 1);
  if (last != key.npos) event.stream = key.substr(last + 1);
  event.param = param;
  return event;
}

std::string srt_tc_url(const HookEvent& event) {
  return "srt://" + event.vhost + "/" + event.app;
}

std::string rtmp_hook_param(std::string_view tc_url, std::string_view app,
                            std::string_view stream) {
  for (const std::string_view text : {stream, app, tc_url}) {
    const std::size_t at = text.find('?');
    if (at != text.npos) return std::string(text.substr(at));
  }
  return {};
}

std::string http_hook_param(std::string_view query) {
  std::string out;
  http::QueryParam param;
  while (http::next_param(query, param)) {
    if (param.name.starts_with("_HLS_")) continue;
    out += out.empty() ? '?' : '&';
    out += param.whole;
  }
  return out;
}

std::string_view hook_stem(std::string_view path, std::string_view value) {
  std::uint64_t length = 0;
  if (!http::parse_decimal(value, length) || length >= path.size()) return {};
  // The border of a name, so that `cam` is never a part of `camera`.
  const bool at_border = std::string_view("-_./").find(path[length]) != std::string_view::npos;
  // Never a segment, always a stream of its own.
  const bool live = http::path_extension(path) == ".flv";
  return at_border && !live ? path.substr(0, length) : std::string_view();
}

std::string make_hook_stem(std::string_view path, std::string_view value) {
  const std::string_view stem = hook_stem(path, value);
  return std::to_string(stem.empty() ? path.size() - http::path_extension(path).size()
                                     : stem.size());
}

HookVerdict read_hook_answer(int status, std::string_view body) {
  body = trimmed(body);
  if (status == 200 && (body == "0" || has_code_zero(body))) return {true, {}};
  std::string why = "it answered " + std::to_string(status);
  if (!body.empty()) why.append(": ").append(body.substr(0, kShownBytes));
  return {false, std::move(why)};
}

HookKey hook_key(const HookEvent& event, HashSeed seed) {
  std::string text(to_string(event.action));
  const std::string ip = ip_to_string(event.client);
  // Lengths in between: no two events give one text.
  for (const std::string_view part :
       {std::string_view(event.vhost), std::string_view(event.app), std::string_view(event.stream),
        std::string_view(ip), std::string_view(event.param)}) {
    text.append("/").append(std::to_string(part.size())).append(":").append(part);
  }
  return {keyed_hash(seed, text), keyed_hash({~seed.k0, seed.k1}, text)};
}

std::optional<bool> HookCache::find(const HookKey& key, std::uint64_t now_ms) const {
  const auto found = entries_.find(key);
  if (found == entries_.end() || now_ms >= found->second.until_ms) return std::nullopt;
  return found->second.allowed;
}

void HookCache::put(const HookKey& key, bool allowed, std::uint64_t until_ms) {
  if (capacity_ == 0) return;
  if (entries_.find(key) == entries_.end()) {
    while (entries_.size() >= capacity_) drop_oldest();
  }
  entries_[key] = Entry{allowed, until_ms, ++last_serial_};
  ages_.push_back({key, last_serial_});
  while (ages_.size() > 2 * capacity_) drop_oldest();
}

void HookCache::drop_oldest() {
  const Age oldest = ages_.front();
  ages_.pop_front();
  const auto found = entries_.find(oldest.key);
  if (found != entries_.end() && found->second.serial == oldest.serial) entries_.erase(found);
}

}  // namespace weir
