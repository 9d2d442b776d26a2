// What the operator's own server is asked about a client (on_play, on_publish) or told (on_stop,
// on_unpublish), what its answer means, and how long it counts. Pure, no I/O; hook_client.h does
// that. Body and answer are those of SRS's HTTP callbacks, so that a server made for SRS serves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "common/base/endpoint.h"
#include "common/base/hash.h"
#include "common/base/log.h"

namespace weir {

enum class HookAction : std::uint8_t { kPlay, kPublish, kStop, kUnpublish };
inline constexpr std::size_t kHookActions = 4;
std::string_view to_string(HookAction action);  // "on_play"...

struct HookEvent {
  HookAction action = HookAction::kPlay;
  SessionId session = 0;
  Endpoint client;
  std::string vhost;
  std::string app;
  std::string stream;
  std::string param;  // the query with its `?`, or empty
  std::string tc_url;
  std::string page_url;
};

// Of a session of WebRTC or SRT: `key` is the whole stream key. Without tcUrl.
HookEvent udp_hook_event(HookAction action, SessionId session, const Endpoint& client,
                         std::string_view key, std::string_view param);
// What an SRT caller has in place of one.
std::string srt_tc_url(const HookEvent& event);

// Who asks: told in the body as SRS does.
struct HookSender {
  std::string server_id;
  std::string service_id;
};
std::string hook_body(const HookEvent& event, const HookSender& sender);

// `?query` of what an RTMP client named: of the stream, else of the app, else of tcUrl.
std::string rtmp_hook_param(std::string_view tc_url, std::string_view app, std::string_view stream);
// Of an HTTP request's query, without what changes with each request of one viewer (_HLS_...).
std::string http_hook_param(std::string_view query);

// The parameter that a playlist's URIs carry: how much of a path names the stream that the playlist
// belongs to. `/live/cam-17.ts?weir_of=9` is of `/live/cam`. It is not a secret: who lies can only
// name a shorter part of the path that he asks for, and must be allowed to play that.
inline constexpr std::string_view kHookStemParameter = "weir_of";
// That part, or nothing: then the path stands for itself. `value`: of the parameter.
std::string_view hook_stem(std::string_view path, std::string_view value);
// The value to carry: of the stem if there is one, else of the path without its extension.
std::string make_hook_stem(std::string_view path, std::string_view value);

struct HookVerdict {
  bool allowed = false;
  std::string why;  // for the log when it is not
};
// HTTP 200 with the body `0`, or a JSON object whose `code` is 0, allows. Anything else refuses.
HookVerdict read_hook_answer(int status, std::string_view body);

// Verdicts that still count. Keys are keyed hashes, so no client can choose colliding ones.
struct HookKey {
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  friend bool operator==(const HookKey&, const HookKey&) = default;
};
struct HookKeyHash {
  std::size_t operator()(const HookKey& key) const { return static_cast<std::size_t>(key.a); }
};
// Of action, stream, the client's address without port, and param.
HookKey hook_key(const HookEvent& event, HashSeed seed);

class HookCache {
 public:
  explicit HookCache(std::size_t capacity) : capacity_(capacity) {}
  std::optional<bool> find(const HookKey& key, std::uint64_t now_ms) const;
  // The oldest entry makes room.
  void put(const HookKey& key, bool allowed, std::uint64_t until_ms);
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    bool allowed = false;
    std::uint64_t until_ms = 0;
    std::uint64_t serial = 0;
  };
  struct Age {
    HookKey key;
    std::uint64_t serial = 0;
  };
  void drop_oldest();

  std::size_t capacity_;
  std::uint64_t last_serial_ = 0;
  std::unordered_map<HookKey, Entry, HookKeyHash> entries_;
  std::deque<Age> ages_;  // oldest first; those that were put again are stale
};

}  // namespace weir
