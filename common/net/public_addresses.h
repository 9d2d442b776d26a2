// The addresses that WebRTC clients are told to send to (rtc.candidate): names are resolved, `auto`
// becomes the addresses of this host. Asks the resolver, which may wait: for a process's start.
#pragma once

#include <string_view>
#include <vector>

#include "common/base/endpoint.h"

namespace weir::net {

// `text` as parse_public_addresses() takes it; `listen`: where media is received. Each comes once,
// with a port (listen's where none is said). `auto` and names give addresses of families that are
// taken there. A name that cannot be resolved is logged and left out; when nothing is left, it is
// as for `auto`.
std::vector<Endpoint> find_public_addresses(std::string_view text, const Endpoint& listen);

// This host's addresses that a wildcard address takes, of interfaces that are up; loopback and
// link-local ones only when there is nothing else.
std::vector<Endpoint> find_host_addresses(const Endpoint& listen);

}  // namespace weir::net
