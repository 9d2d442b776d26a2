#include "supervisor/explain.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/ascii.h"
#include "common/base/endpoint.h"
#include "common/base/escape.h"
#include "common/route/alias.h"
#include "common/route/http_target.h"
#include "common/route/origin_hint.h"
#include "common/route/rtmp_address.h"
#include "common/route/srt_key.h"
#include "ipc/alias_pick.h"
#include "ipc/origin_walk.h"
#include "ipc/worker_entry.h"

namespace weir {
namespace {

using ipc::EndpointKind;

struct Url {
  std::string scheme;
  std::string_view host;  // with its port
  std::string_view path;  // with the leading slash, or empty
  std::string_view query;
};

// What a URL asks for.
struct Asked {
  EndpointKind kind = EndpointKind::kRtmp;
  std::string_view protocol;
  ipc::Role role = ipc::Role::kPlayer;
  route::StreamKey named;
  bool pinned = false;  // a playlist's address, which names its origin
  route::AliasFound alias;
};

std::optional<Url> take_apart(std::string_view text) {
  Url url;
  const std::size_t scheme = text.find("://");
  if (scheme == std::string_view::npos) return std::nullopt;
  url.scheme = lower_case(text.substr(0, scheme));
  text.remove_prefix(scheme + 3);
  const std::size_t end = std::min(text.find_first_of("/?"), text.size());
  url.host = text.substr(0, end);
  text.remove_prefix(end);
  const std::size_t mark = std::min(text.find('?'), text.size());
  url.path = text.substr(0, mark);
  url.query = text.substr(std::min(mark + 1, text.size()));
  return url;
}

void add(std::string& out, std::string_view name, std::string_view what) {
  out.append(name).append(std::string(10 - std::min<std::size_t>(name.size(), 9), ' '));
  for (const char c : what) {
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c;
  }
  out += '\n';
}

std::uint16_t port_of(std::string_view host) {
  const std::size_t colon = host.rfind(':');
  if (colon == std::string_view::npos || host.ends_with(']')) return 0;
  unsigned port = 0;
  for (const char c : host.substr(colon + 1)) {
    if (c < '0' || c > '9' || port > 65535) return 0;
    port = port * 10 + static_cast<unsigned>(c - '0');
  }
  return static_cast<std::uint16_t>(port);
}

// Signalling is on the API port; on the port of streams the same path is a stream's.
bool is_signalling(const Url& url, const Config& config) {
  const std::uint16_t port = port_of(url.host);
  if (url.scheme == "webrtc") return true;
  if (port != 0 && (port == config.http.listen.port || port == config.http.tls_listen.port)) {
    return false;
  }
  return url.path.starts_with("/rtc/v1/") || url.path.starts_with("/whip/") ||
         url.path.starts_with("/whep/");
}

Result<void> read_rtmp(const Url& url, const route::Aliases& aliases, Asked& asked) {
  // As ffmpeg does: the app is all but the last segment.
  const std::size_t slash = url.path.rfind('/');
  const std::string_view app =
      slash == 0 || slash == url.path.npos ? "" : url.path.substr(1, slash - 1);
  std::string stream(slash == url.path.npos ? "" : url.path.substr(slash + 1));
  if (!url.query.empty()) stream.append("?").append(url.query);
  const std::string tc_url = url.scheme + "://" + std::string(url.host) + "/" + std::string(app);
  asked.kind = EndpointKind::kRtmp;
  asked.protocol = "rtmp";
  asked.named = route::from_rtmp(tc_url, app, stream);
  asked.alias = aliases.find(asked.named);
  return {};
}

Result<void> read_http(const Url& url, const route::Aliases& aliases, Asked& asked) {
  const route::OwnParams own = route::take_own_params(url.query, "weir_of");
  const route::HttpTarget target =
      route::read_http_target(url.host, url.path.empty() ? "/" : url.path, own.rest);
  if (!target.error.empty()) return fail(std::string(target.error));
  asked.kind = EndpointKind::kHttp;
  asked.protocol = "http";
  asked.pinned = !own.hint.empty();
  asked.named = target.key;
  asked.alias = aliases.of_http(url.host, target.path, target.query, target.key);
  return {};
}

Result<void> read_signalling(const Url& url, std::string_view text, const route::Aliases& aliases,
                             Asked& asked) {
  const ipc::SignalledStream named = url.scheme == "webrtc"
                                         ? ipc::read_stream_url(text)
                                         : ipc::read_signalling(url.host, url.path, url.query);
  if (!named.error.empty()) return fail(named.error);
  asked.kind = EndpointKind::kApi;
  asked.protocol = "webrtc";
  asked.role = named.publisher ? ipc::Role::kPublisher : ipc::Role::kPlayer;
  asked.named = route::parse_stream_key(named.key);
  asked.alias = aliases.find(asked.named);
  return {};
}

// The value of streamid=, which players write unescaped and to the end.
Result<void> read_srt(const Url& url, const Config& config, const route::Aliases& aliases,
                      Asked& asked) {
  std::string_view id;
  const std::size_t at = ("&" + std::string(url.query)).find("&streamid=");
  if (at != std::string::npos) id = url.query.substr(at + 9);
  if (id.find("#!::") == std::string_view::npos && id.find("#!:{") == std::string_view::npos) {
    id = id.substr(0, id.find('&'));
  }
  const std::string decoded = percent_unescaped(id);
  srt::StreamIdDefaults defaults;
  defaults.stream_id = config.srt.default_stream;
  defaults.app = config.srt.default_app;
  defaults.mode = config.srt.default_mode == "publish" ? srt::Mode::kPublish : srt::Mode::kRequest;
  srt::StreamId read;
  const srt::StreamIdError error = srt::parse_stream_id(decoded, defaults, read);
  if (error != srt::StreamIdError::kNone) {
    return fail("streamid: " + std::string(srt::to_string(error)));
  }
  asked.kind = EndpointKind::kSrt;
  asked.protocol = "srt";
  if (read.mode == srt::Mode::kPublish) asked.role = ipc::Role::kPublisher;
  asked.named = route::from_srt(read);
  asked.alias = aliases.find(asked.named);
  return {};
}

Result<void> read_url(std::string_view text, const Config& config, const route::Aliases& aliases,
                      Asked& asked) {
  const auto url = take_apart(text);
  if (!url) return fail("it is no URL: scheme://host/path");
  const std::string& scheme = url->scheme;
  if (scheme == "rtmp" || scheme == "rtmps") return read_rtmp(*url, aliases, asked);
  if (scheme == "srt") return read_srt(*url, config, aliases, asked);
  const bool http = scheme == "http" || scheme == "https" || scheme == "ws" || scheme == "wss";
  if (!http && scheme != "webrtc") {
    return fail(scheme + " is none of rtmp rtmps http https ws wss srt webrtc");
  }
  if (is_signalling(*url, config)) return read_signalling(*url, text, aliases, asked);
  return read_http(*url, aliases, asked);
}

void add_rule(std::string& out, const Config& config, const Asked& asked) {
  if (asked.alias.keys.empty()) {
    add(out, "rule", config.aliases.empty() ? "none: there are no aliases" : "none fits");
    return;
  }
  const AliasConfig& rule = config.aliases[asked.alias.rule];
  std::string text = rule.from + " ->";
  for (const std::string& name : rule.to) text += " " + name;
  add(out, "rule", text + "  (" + rule.source.text + ")");
}

// ---- where it goes

void explain_offline(std::string& out, const Config& config, const Asked& asked, bool& found) {
  std::vector<std::string> names;
  const auto take = [&](const OriginConfig& origin) {
    const std::vector<Endpoint>* lists[] = {&origin.rtmp, &origin.http, &origin.api, &origin.srt,
                                            &origin.rtc};
    const auto& list = *lists[static_cast<std::size_t>(asked.kind)];
    if (!list.empty()) names.push_back(origin.name + " " + to_string(list.front(), origin.hosts));
  };
  for (const OriginConfig& origin : config.origins) take(origin);
  if (const auto backend = default_backend_origin(config)) take(*backend);
  found = true;
  add(out, "state", "no running Weir was found, so this is the configuration alone");
  if (names.size() == 1) {
    add(out, "origin", names.front() + " (the only one that is configured)");
  } else if (names.empty()) {
    add(out, "origin", "none is configured; one that registers");
  } else {
    add(out, "origin",
        "asked of the master: where the stream is, else " +
            std::string(config.search.enabled && asked.role == ipc::Role::kPlayer
                            ? "by a search or "
                            : "") +
            "by balance.policy " + config.balance.policy + " of " + std::to_string(names.size()));
  }
}

std::string describe(const ipc::StreamHead& stream) {
  std::string out;
  const auto with = [&](bool on, std::string_view word) {
    if (on) out.append(out.empty() ? "" : ", ").append(word);
  };
  with(stream.publishers > 0, "published through Weir");
  with(stream.has(ipc::kLearned), "learned from its origin");
  with(stream.has(ipc::kSearched), "found by a search");
  with(stream.has(ipc::kKept), "kept from the last service, unproven");
  with(out.empty(), "only played: a policy has picked its origin");
  return out + "; " + std::to_string(stream.publishers) + " publishers and " +
         std::to_string(stream.players) + " players here";
}

std::string describe(const ipc::OriginRecord& origin, EndpointKind kind) {
  const auto at = static_cast<std::size_t>(kind);
  std::string out(text_of(origin.name));
  for (std::size_t i = 0; i < origin.endpoint_count[at]; ++i) {
    out += " " + to_string(origin.endpoints[at][i]);
  }
  if (!origin.has(kind)) return out + ": has no endpoint for this protocol";
  if (origin.state != ipc::OriginState::kUp) return out + ": is " + std::string(state_text(origin));
  if (origin.is_ejected(kind)) return out + ": this endpoint fails its probes";
  return out + (origin.draining ? " (draining)" : "");
}

// One of the first rank that has any is picked (supervisor/origin_choice.h).
enum class Rank : std::uint8_t { kProven, kUnproven, kDefault, kEjected, kNever };

struct Candidate {
  std::string name;
  std::string state;
  Rank rank = Rank::kNever;
  bool takes = false;  // so a search asks it, too (workers/core/search_candidates.h)
};

Candidate candidate(const ipc::OriginRecord& origin, const std::optional<OriginConfig>& backend,
                    EndpointKind kind) {
  Candidate out{std::string(text_of(origin.name)), describe(origin, kind)};
  out.takes = origin.takes(kind);
  if (!origin.has(kind) || origin.state != ipc::OriginState::kUp || origin.draining ||
      origin.weight == 0) {
    if (out.takes && origin.weight == 0) out.state += ": weight 0, so it takes no new stream";
  } else if (!out.takes) {
    out.rank = Rank::kEjected;
  } else if (backend && out.name == backend->name) {
    out.rank = Rank::kDefault;
    out.state += ": the default backend, for when no other can take it";
  } else if (origin.unproven) {
    out.rank = Rank::kUnproven;
    out.state += ": not heard of since the restart, so others come first";
  } else {
    out.rank = Rank::kProven;
  }
  return out;
}

template <typename Fits>
std::string names_of(const std::vector<Candidate>& all, const Fits& fits) {
  std::string names;
  for (const Candidate& each : all) {
    if (fits(each)) names.append(names.empty() ? "" : ", ").append(each.name);
  }
  return names;
}

// Nobody knows the stream: who could be picked, and who is asked by a search.
bool explain_policy(std::string& out, const ipc::StateView& state, const Config& config,
                    const Asked& asked) {
  const auto backend = default_backend_origin(config);
  std::vector<Candidate> all;
  ipc::each_origin(state, [&](ipc::OriginRef, const ipc::OriginRecord& origin) {
    all.push_back(candidate(origin, backend, asked.kind));
  });
  const bool may_search = config.search.enabled && asked.role == ipc::Role::kPlayer;
  const std::string searched =
      may_search ? names_of(all, [](const Candidate& each) { return each.takes; }) : std::string();
  const bool at_once = asked.kind == EndpointKind::kHttp && !searched.empty();
  Rank rank = Rank::kNever;
  for (const Candidate& each : all) rank = std::min(rank, each.rank);
  const auto comes_first = [&](const Candidate& each) {
    return at_once ? each.takes : each.rank == rank;
  };
  const std::string first = names_of(all, comes_first);
  for (const Candidate& each : all) {
    if (!comes_first(each) || (rank == Rank::kNever && !at_once)) add(out, "not", each.state);
  }
  if (at_once) {
    add(out, "origin", "asked of all that may have it: " + first);
  } else if (rank == Rank::kNever) {
    add(out, "origin", "none: no origin takes this protocol");
    return false;
  } else if (rank == Rank::kEjected) {
    add(out, "origin", "no sound one; it is tried all the same at one of: " + first);
  } else {
    add(out, "origin", "by balance.policy " + config.balance.policy + " of: " + first);
  }
  if (!at_once && searched.find(',') != std::string::npos) {
    add(out, "search", "after a no the next one is asked, of: " + searched);
  }
  return true;
}

void explain_running(std::string& out, const ipc::StateView& state, const Config& config,
                     const Asked& asked, const std::string& key, bool& found) {
  ipc::StreamHead stream;
  if (!state.find_stream(key, stream)) {
    add(out, "state", "nobody knows this stream");
    found = explain_policy(out, state, config, asked);
    return;
  }
  add(out, "state", describe(stream));
  ipc::OriginRecord origin;
  if (!state.read_origin({stream.origin_slot, stream.origin_generation}, origin)) {
    add(out, "not", "the origin that it was at has left");
    found = explain_policy(out, state, config, asked);
    return;
  }
  if (state.find_route(key, asked.role, asked.kind)) {
    add(out, "origin", describe(origin, asked.kind));
    found = true;
    return;
  }
  add(out, "not", describe(origin, asked.kind));
  if (stream.is_held()) {
    add(out, "origin", "none: the stream is there and nowhere else");
    return;
  }
  found = explain_policy(out, state, config, asked);
}

}  // namespace

Result<Explained> explain_url(std::string_view url, const Config& config,
                              const ipc::StateView* state) {
  const route::Aliases aliases = route::aliases_of(config.aliases);
  Asked asked;
  if (auto read = read_url(url, config, aliases, asked); !read) {
    return tl::unexpected(read.error());
  }
  std::vector<route::StreamKey> names = asked.alias.keys;
  if (names.empty()) names.push_back(asked.named);
  if (!names.front().ok()) {
    return fail("it names no stream: " + std::string(route::to_string(names.front().error)));
  }
  Explained out;
  std::string candidates;
  for (const route::StreamKey& name : names)
    candidates += (candidates.empty() ? "" : " ") + name.text;
  const bool many = names.size() > 1;
  const std::string key = state != nullptr
                              ? ipc::pick_stream(*state, std::move(names), std::nullopt).key.text
                              : names.front().text;
  add(out.text, "protocol", asked.protocol);
  if (asked.named.ok() && asked.named.text != key) add(out.text, "asked", asked.named.text);
  add(out.text, "key", key);
  add_rule(out.text, config, asked);
  if (many) add(out.text, "may be", candidates);
  if (asked.pinned) add(out.text, "hint", "it has one: its origin comes first, if that is sound");
  if (state != nullptr) {
    explain_running(out.text, *state, config, asked, key, out.found);
  } else {
    explain_offline(out.text, config, asked, out.found);
  }
  return out;
}

}  // namespace weir
