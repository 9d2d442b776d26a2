// What Weir listens on, for the start log, for reloads that change it, and for `weir -t`; and what
// listens although the configuration has not asked for it. Pure but for the log.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/config/config.h"

namespace weir {

struct ListenKind {
  std::string_view section;  // of the configuration: rtmp, http, ...
  std::string addresses;     // with /udp and tls:// where they are; empty: it is off
  bool asked = false;        // the configuration has said something about the section
};
std::vector<ListenKind> listen_kinds(const Config& config);

// Those that listen without having been asked for at an address that others reach, and how to
// switch them off: `http_api 0.0.0.0:11985, srt 0.0.0.0:20080/udp`. Empty: there is none.
std::string unasked_listeners(const Config& config);
inline constexpr std::string_view kUnaskedRemedy =
    "give each a listen address in its section, or enabled off";

// A line for each kind; with `before` only for those that have changed since, and no word of the
// unasked ones.
void log_listeners(const Config& config, const Config* before);

}  // namespace weir
