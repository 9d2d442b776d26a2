// DASH manifests (ISO/IEC 23009-1): puts the pin into every URI that comes back to this proxy. A
// small bounded XML scanner finds them; nothing is expanded, a DOCTYPE is refused.
//   text        BaseURL, Location, PatchLocation, ContentSteering
//   attributes  SegmentTemplate media, initialization, index, bitstreamSwitching; SegmentURL media,
//               index; sourceURL of Initialization, RepresentationIndex and BitstreamSwitching;
//               xlink:href anywhere; UTCTiming value if it is an absolute or root-relative URL
// A BaseURL that is a directory cannot carry a query: the pin is on the segments below it. What is
// below a BaseURL on another host stays as it is. Every other byte comes out as it went in.
// Pure, linear, bounded by RewriteOptions.
#pragma once

#include <string>

#include "common/base/bytes.h"
#include "common/proto/hls/pin_uri.h"

namespace weir::dash {

using hls::RewriteOptions;
using hls::RewriteStatus;

// Replaces `out`. On anything but kOk, `out` is empty; kNotAPlaylist means that the body should go
// to the client unchanged, the others that it should not go at all (502).
RewriteStatus rewrite_mpd(ByteView in, const RewriteOptions& options, std::string& out);

}  // namespace weir::dash
