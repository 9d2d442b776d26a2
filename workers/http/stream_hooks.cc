// StreamRoom: what the operator's own server says about a viewer, and is told when a live stream
// ends.
#include <algorithm>
#include <utility>
#include <vector>

#include "workers/http/stream_room.h"

namespace weir::http {
namespace {

constexpr std::string_view kText = "text/plain; charset=utf-8";

// Whether one of the streams is this one, or a part of it as playlists name them: `cam_low`, `cam`.
bool goes_on_with(const std::vector<route::StreamKey>& streams, const route::StreamKey& name) {
  return name.ok() &&
         std::any_of(streams.begin(), streams.end(), [&](const route::StreamKey& stream) {
           const std::string_view rest =
               std::string_view(stream.text).substr(std::min(name.text.size(), stream.text.size()));
           return stream.text.starts_with(name.text) &&
                  (rest.empty() || std::string_view("-_.").find(rest.front()) != rest.npos);
         });
}

// The stream of the playlist that has named this request; with an error if it is no stream, or none
// that the request can belong to: of what a rule has named, only names that go on with the
// playlist's.
route::StreamKey stem_key(const route::Aliases& aliases, const StreamExchange& x,
                          std::string_view stem) {
  route::StreamKey plain = route::from_http_path(x.sent_host, stem, x.query);
  if (aliases.empty()) return plain;
  for (const std::string_view extension : {".m3u8", ".mpd"}) {
    const std::string playlist = std::string(stem).append(extension);
    route::AliasFound found = aliases.of_http(x.sent_host, playlist, x.query, plain);
    if (found.keys.empty()) continue;
    for (const route::StreamKey& name : found.keys) {
      if (!x.aliased || goes_on_with(x.to_judge, name)) return name;
    }
    return {};
  }
  const bool may_be = !x.aliased || goes_on_with(x.to_judge, plain);
  return may_be ? std::move(plain) : route::StreamKey{};
}

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
  x.to_judge.insert(x.to_judge.begin(), key);
  if (!stem.empty()) {
    route::StreamKey of_stem = stem_key(process_.aliases, x, stem);
    if (of_stem.ok() && !of_stem.text.empty()) x.to_judge = {std::move(of_stem)};
  }
  if (asks) x.stem = make_hook_stem(x.path, stem_value);
  HookEvent event;
  event.session = conn.id;
  event.client = x.identity.client;
  event.param = http_hook_param(x.query);
  event.page_url = head.fields.get(HeaderId::kReferer);
  if (!asks) x.to_judge.resize(1);
  ask_next(index, std::move(event));
  return true;
}

// About the last of the streams that are to be judged; the first of them is what the books say.
void StreamRoom::ask_next(std::uint32_t index, HookEvent event) {
  StreamExchange& x = exchange(index);
  const route::StreamKey key = std::move(x.to_judge.back());
  x.to_judge.pop_back();
  event.vhost = key.vhost();
  event.app = key.app();
  event.stream = key.stream();
  event.tc_url = x.identity.base_url() + "/" + event.app;
  if (!process_.hooks.wants(HookAction::kPlay)) return on_verdict(index, event, {true, {}});
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
        .field("asked", event.app + "/" + event.stream)
        .field("reason", verdict.why);
    server_.answer(index, {403, kText, "not allowed\n"});
    return;
  }
  if (!x.to_judge.empty()) return ask_next(index, event);
  const bool live = x.kind == StreamKind::kLive || x.upgrade;
  if (live && process_.hooks.wants(HookAction::kStop)) {
    x.stop = std::make_unique<HookEvent>(event);
    x.stop->action = HookAction::kStop;
  }
  dial_.route(index);
}

}  // namespace weir::http
