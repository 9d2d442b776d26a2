// The stream key of an SRT caller, by the one function of all protocols, and the stream id that the
// origin gets for it. Pure.
#pragma once

#include <string>

#include "common/proto/srt/stream_id.h"
#include "common/route/stream_key.h"

namespace weir::route {

// `h=` is a vhost that was asked for by name: it may lack a dot. Without it `vhost=` or `domain=`
// among the other fields counts. REQUIRES: `id` was parsed without an error.
StreamKey from_srt(const srt::StreamId& id);

// What goes on to the origin: the one form `#!::h=vhost,r=app/stream,m=mode,u=user,…` (h without
// the default vhost, u if there is one), made from what was understood. The other fields stay byte
// for byte where they can't be taken for h, r or m, neither by who parts fields first and then
// keys from values, nor by SRS, to whom `=` is one more separator. Else kAmbiguous; also for names
// that another percent-decoding would change. REQUIRES: key.ok() and a mode that is known.
srt::StreamIdError origin_stream_id(const StreamKey& key, const srt::StreamId& id,
                                    std::string& out);

}  // namespace weir::route
