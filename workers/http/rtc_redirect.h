// An origin sends a request elsewhere (307, 308; RFC 9725, section 4.5). It is followed where it
// leads to the same origin or to another one that Weir knows. The client hears nothing of it: what
// it would be told are addresses of the inner network. Pure but for reading the shared state.
// Owner: RtcOrigin. Errors: a text for the log.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/proto/http/head.h"
#include "ipc/route_reader.h"
#include "workers/http/location_origin.h"

namespace weir::http {

struct RtcRedirect {
  std::string target;              // path and query
  std::optional<OriginAt> origin;  // none: the one that was asked
};
// The request was made for `target` at `host`. `before`: redirects that it has followed already.
Result<RtcRedirect> read_redirect(const ipc::StateView& state, const ResponseHead& answer,
                                  std::string_view target, std::string_view host,
                                  std::size_t before);

}  // namespace weir::http
