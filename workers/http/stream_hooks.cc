// StreamRoom: what the operator's own server says about a viewer, and is told when a live stream
// ends.
#include <utility>

#include "workers/http/stream_room.h"

namespace weir::http {
namespace {

constexpr std::string_view kText = "text/plain; charset=utf-8";

}  // namespace

// False: nobody has to be asked. What a playlist has named is asked for under the playlist's
// stream, so that its segments are covered by the verdict which let the playlist pass.
bool StreamRoom::ask_hook(std::uint32_t index, const RequestHead& head, const route::StreamKey& key,
                          std::string_view stem_value) {
  Connection& conn = server_[index];
  StreamExchange& x = exchange(index);
  const bool live = x.kind == StreamKind::kLive || x.upgrade;
  const bool asks = process_.hooks.wants(HookAction::kPlay);
  if (!asks && !(live && process_.hooks.wants(HookAction::kStop))) return false;
  const std::string_view stem = hook_stem(x.path, stem_value);
  const route::StreamKey of_stem =
      stem.empty() ? key : route::from_http_path(x.sent_host, stem, x.query);
  const route::StreamKey& asked_for = of_stem.ok() ? of_stem : key;
  if (asks) x.stem = make_hook_stem(x.path, stem_value);
  HookEvent event;
  event.session = conn.id;
  event.client = x.identity.client;
  event.vhost = asked_for.vhost();
  event.app = asked_for.app();
  event.stream = asked_for.stream();
  event.param = http_hook_param(x.query);
  event.tc_url = x.identity.base_url() + "/" + event.app;
  event.page_url = head.fields.get(HeaderId::kReferer);
  if (!asks) {
    on_verdict(index, event, {true, {}});
    return true;
  }
  x.stage = StreamStage::kAsking;
  x.deadline_ms = 0;
  const HookClient::Asked asked =
      process_.hooks.ask(event, [this, index, event](const HookVerdict& said) {
        exchange(index).hook = 0;
        on_verdict(index, event, said);
        server_.serve(index);
      });
  x.hook = asked.ticket;
  if (asked.verdict) on_verdict(index, event, *asked.verdict);
  return true;
}

void StreamRoom::on_verdict(std::uint32_t index, const HookEvent& event,
                            const HookVerdict& verdict) {
  Connection& conn = server_[index];
  StreamExchange& x = exchange(index);
  if (!verdict.allowed) {
    LogLine(LogLevel::kWarn, "request refused by the operator's server")
        .session(conn.id)
        .field("client", x.identity.client)
        .field("stream", x.key)
        .field("reason", verdict.why);
    server_.answer(index, {403, kText, "not allowed\n"});
    return;
  }
  const bool live = x.kind == StreamKind::kLive || x.upgrade;
  if (live && process_.hooks.wants(HookAction::kStop)) {
    x.stop = std::make_unique<HookEvent>(event);
    x.stop->action = HookAction::kStop;
  }
  dial_.route(index);
}

}  // namespace weir::http
