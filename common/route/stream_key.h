// The stream key `vhost/app/stream`: one function for all protocols (DESIGN section 4), so that the
// same stream over RTMP, FLV, HLS, WHIP and SRT goes to the same origin. Pure; makes strings of at
// most limits::kStreamKeyBytes and refuses everything else with a reason.
//
//   vhost   `?vhost=` or `?domain=` if given, else the host without port and brackets; an address,
//           or a name without a dot, is `__defaultVhost__`; lower case.
//   app     everything before the last path segment, without leading and trailing slashes.
//   stream  the last path segment; for HTTP without a media extension.
// Queries are never part of the key; percent-escapes are decoded once (a `%` that begins none is
// itself). A vhost that was asked for by name may lack a dot.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace weir::route {

inline constexpr std::string_view kDefaultVhost = "__defaultVhost__";

enum class KeyError : std::uint8_t {
  kNone,
  kEmptyApp,     // no app segment
  kEmptyStream,  // no stream name
  kBadSegment,   // an empty segment in the middle, `.` or `..`
  kControlByte,  // a byte below 0x20, or 0x7F, raw or escaped
  kBadEscape,    // an escaped slash: it would move the border between app and stream
  kBadHost,      // a host or vhost with characters that no name has
  kTooLong,      // longer than limits::kStreamKeyBytes
  kAmbiguous,    // it names two vhosts
};
std::string_view to_string(KeyError error);

struct StreamKey {
  std::string text;  // `vhost/app/stream`; empty on an error
  // The parts of text, as offsets so that a copy stays valid.
  std::uint16_t app_at = 0;     // where the app begins
  std::uint16_t stream_at = 0;  // where the stream begins
  KeyError error = KeyError::kNone;

  bool ok() const { return error == KeyError::kNone; }
  std::string_view vhost() const { return std::string_view(text).substr(0, app_at - 1U); }
  std::string_view app() const {
    return std::string_view(text).substr(app_at, stream_at - app_at - 1U);
  }
  std::string_view stream() const { return std::string_view(text).substr(stream_at); }
};

enum class Extension : std::uint8_t { kKeep, kStrip };

// What every protocol reduces its address to. Nothing is unescaped yet; `app` and `stream` may
// still carry `?query`. Queries are searched for vhost in the order query, stream's, app's.
struct KeyParts {
  std::string_view host;  // may have a port and brackets; may be empty
  std::string_view app;
  std::string_view stream;  // may contain slashes: all but its last segment belong to the app
  std::string_view query;   // without `?`
  Extension extension = Extension::kKeep;  // kStrip: .flv .m3u8 .ts .aac .mp3 .mp4 .mpd go
};
StreamKey make_stream_key(const KeyParts& parts);

// A key that was made before, from its text; an error if it is none.
StreamKey parse_stream_key(std::string_view text);

// RTMP: the key of rtmp_address() (rtmp_address.h).
StreamKey from_rtmp(std::string_view tc_url, std::string_view app, std::string_view stream);
// HTTP: Host header, path (`/app/stream.flv`) and query (without `?`).
StreamKey from_http_path(std::string_view host, std::string_view path, std::string_view query);
// What an origin's API names: nothing is escaped, and no part has a query. An empty vhost is the
// default one.
StreamKey from_names(std::string_view vhost, std::string_view app, std::string_view stream);

}  // namespace weir::route
