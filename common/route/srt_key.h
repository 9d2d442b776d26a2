// The stream key of an SRT caller, by the one function of all protocols. Pure.
#pragma once

#include "common/proto/srt/stream_id.h"
#include "common/route/stream_key.h"

namespace weir::route {

// `h=` is a vhost that was asked for by name: it may lack a dot. Without it `vhost=` or `domain=`
// among the other fields counts. REQUIRES: `id` was parsed without
// an error.
StreamKey from_srt(const srt::StreamId& id);

}  // namespace weir::route
