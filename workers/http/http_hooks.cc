// HttpWorker: what the operator's own server says about a viewer, and is told when a live stream
// ends.
#include <utility>

#include "workers/http/http_worker.h"

namespace weir::http {

// False: nobody has to be asked. What a playlist has named is asked for under the playlist's
// stream, so that its segments are covered by the verdict which let the playlist pass.
bool HttpWorker::ask_hook(std::uint32_t index, const RequestHead& head,
                          const route::StreamKey& key) {
  HttpConn& conn = conns_[index];
  Exchange& x = *conn.exchange;
  const bool live = x.kind == Kind::kLive || x.upgrade;
  const bool asks = hooks_.wants(HookAction::kPlay);
  if (!asks && !(live && hooks_.wants(HookAction::kStop))) return false;
  const std::string_view stem = hook_stem(head.path, head.query);
  const route::StreamKey of_stem =
      stem.empty() ? key : route::from_http_path(head.host, stem, head.query);
  const route::StreamKey& asked_for = of_stem.ok() ? of_stem : key;
  if (asks) x.stem = make_hook_stem(head.path, head.query);
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
  x.stage = Stage::kAsking;
  x.deadline_ms = 0;
  const HookClient::Asked asked = hooks_.ask(event, [this, index, event](const HookVerdict& said) {
    conns_[index].exchange->hook = 0;
    on_verdict(index, event, said);
    pump(index);
  });
  x.hook = asked.ticket;
  if (asked.verdict) on_verdict(index, event, *asked.verdict);
  return true;
}

void HttpWorker::on_verdict(std::uint32_t index, const HookEvent& event,
                            const HookVerdict& verdict) {
  HttpConn& conn = conns_[index];
  Exchange& x = *conn.exchange;
  if (!verdict.allowed) {
    LogLine(LogLevel::kWarn, "request refused by the operator's server")
        .session(conn.id)
        .field("client", to_string(x.identity.client))
        .field("stream", x.key)
        .field("reason", verdict.why);
    answer(index, {403, "text/plain; charset=utf-8", "not allowed\n"});
    return;
  }
  const bool live = x.kind == Kind::kLive || x.upgrade;
  if (live && hooks_.wants(HookAction::kStop)) {
    conn.stop = std::make_unique<HookEvent>(event);
    conn.stop->action = HookAction::kStop;
  }
  route(index);
}

void HttpWorker::tell_stop(HttpConn& conn) {
  if (const auto event = std::move(conn.stop)) hooks_.tell(*event);
}

}  // namespace weir::http
