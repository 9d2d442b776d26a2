// The addresses that WebRTC clients are told to send to (rtc.candidate): `auto` becomes the
// addresses of this host, names those that somebody else has looked up. Waits for nothing.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/endpoint.h"

namespace weir::net {

// What is known of a name now; port 0, maybe none.
using NameLookup = std::function<std::vector<Endpoint>(const std::string& name)>;

// `text` as parse_public_addresses() takes it; `listen`: where media is received. Each comes once,
// with a port (listen's where none is said). `auto` and names give addresses of families that are
// taken there. None: no name is known, and nothing else is said.
std::vector<Endpoint> find_public_addresses(std::string_view text, const Endpoint& listen,
                                            const NameLookup& lookup);

// This host's addresses that a wildcard address takes, of interfaces that are up; loopback and
// link-local ones only when there is nothing else.
std::vector<Endpoint> find_host_addresses(const Endpoint& listen);

}  // namespace weir::net
