// What a caller wants, from the stream id of its handshake. Pure; at most 512 bytes come in.
//
//   #!::r=app/stream,h=vhost,m=publish,u=user,key=value   libsrt's access-control.md
//   #!:{r=app/stream,m=request,x={…}}                     the same, nested; inner blocks are opaque
//   #!::h=vhost/app/stream,m=…  #!::h=app/stream          what SRS took before there was r=
//   app/stream  stream  vhost.example/app/stream           anything that does not begin with #!
//   publish:app/stream:user:pass:query  read:…  request:…  MediaMTX
//   app/stream,mode:publish,token:t  app/stream?mode=publish  gosrt; SRS's queries
//   uplive.HOST/app/stream  live.HOST/app/stream           srt-live-server: publisher, player
//   push://HOST/app/stream?key=value                       a URL; its scheme may name the role
//   (nothing)                                             the configured default
//
// As SRS has it: `&`, `;` and `?` part fields like `,`; of a repeated key the last one counts. Keys
// and modes are compared without case and without blanks around them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace weir::srt {

enum class Mode : std::uint8_t { kRequest, kPublish, kUnknown };
std::string_view to_string(Mode mode);

enum class StreamIdError : std::uint8_t {
  kNone,
  kEmpty,       // no stream id and no default
  kTooLong,     // limits::kSrtStreamIdBytes, also as the origin would get it
  kBadSyntax,   // `#!` and something else than above, a field without key, unbalanced braces
  kNoResource,  // neither r= nor a path in h=
  kAmbiguous,   // another server would read another stream or role in it
};
std::string_view to_string(StreamIdError error);

struct StreamIdDefaults {
  std::string_view stream_id;     // for callers without one; empty: they are refused
  std::string_view app = "live";  // for a resource without slash
  Mode mode = Mode::kRequest;     // for callers that name none
};

// Views of the text or of the defaults.
struct StreamId {
  std::string_view vhost;  // may be empty
  std::string_view app;    // all but the last segment of the path
  std::string_view stream;
  Mode mode = Mode::kRequest;  // kUnknown: one was named that there is not
  std::string_view user;
  std::string rest;    // the other fields, `key=value` joined by `&`: what hooks get as parameters
  std::string fields;  // those but vhost= and domain=, each behind the separator that it had
};

// `out` is replaced. Whether app and stream make a key is for route::from_srt to say.
StreamIdError parse_stream_id(std::string_view text, const StreamIdDefaults& defaults,
                              StreamId& out);

}  // namespace weir::srt
