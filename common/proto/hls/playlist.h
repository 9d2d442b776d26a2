// HLS playlists (RFC 8216 and its second edition's draft): puts the pin into every URI that comes
// back to this proxy. Lines are parsed, not searched: URI lines, and the URI attributes of the tags
// that have one. Every other byte comes out as it went in: line ends, BOM, comments, unknown tags.
// Pure, linear, bounded by RewriteOptions.
#pragma once

#include <string>

#include "common/base/bytes.h"
#include "common/proto/hls/pin_uri.h"

namespace weir::hls {

// Replaces `out`. On anything but kOk, `out` is empty; kNotAPlaylist means that the body should go
// to the client unchanged, the others that it should not go at all (502).
RewriteStatus rewrite_playlist(ByteView in, const RewriteOptions& options, std::string& out);

}  // namespace weir::hls
