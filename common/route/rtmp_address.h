// What an RTMP client addresses: the stream's key, and the texts that say the same to every origin.
// Origins read them differently: nginx-rtmp takes the app of connect and the name of publish or
// play, each up to `?`; SRS puts tcUrl and name together, splits them at the last slash (also at
// one within a query) and leaves blanks out. What they would read differently is sent on in a form
// that they all read as Weir does, so that what was judged is what the origin gets. Pure.
//
//   blanks, line ends and NUL around a text, and slashes around a path, are no part of it
//   the app of connect counts; without it, the path of tcUrl; without both, `__defaultApp__`
//   an empty name: the last segment of the app, else what follows the slash in the query of tcUrl
//   `_definst_` is no segment; `...vhost...` in tcUrl and app means `?vhost=`
//   `#` and blanks within a query, and blanks within a path, are percent-encoded
//   for SRS: slashes within the query of a name, too; and folders in a name are in the path of
//   tcUrl if that has a query
#pragma once

#include <string>
#include <string_view>

#include "common/route/stream_key.h"

namespace weir::route {

inline constexpr std::string_view kDefaultApp = "__defaultApp__";

struct RtmpAddress {
  StreamKey key;  // the rest is valid only if it is ok
  // What to send on: the client's own text wherever that says the same to all.
  std::string tc_url;
  std::string app;
  std::string stream;
  std::string stream_for_srs;
};
// `tc_url` and `app` of connect, `stream` the name in publish, play, releaseStream or FCPublish.
RtmpAddress rtmp_address(std::string_view tc_url, std::string_view app, std::string_view stream);

}  // namespace weir::route
