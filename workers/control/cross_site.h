// Which requests of the System API may come from pages of other sites, and are refused. Pure.
//
// Asked of each request that is taken without a secret: nothing that a page cannot know vouches for
// it then, only that it has reached this address, and a page reaches every address that its reader
// reaches. Methods decide, not paths: GET and HEAD read, all others change something.
//
//   Host            must be known: another one is a name that was made to point here (rebinding)
//   Origin          must be that of the Host: scheme's port and all
//   Sec-Fetch-Site  must be same-origin or none; to read, a link that was followed is fine, too
//
// Machines send neither of the last two. Those that also look like no browser may use any Host, as
// service names are many, unless it came to a loopback address, or names were given to
// control.hosts. What looks like a browser but says nothing of the page may only read.
// docs/THREATS.md says why that is enough.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/host_list.h"
#include "common/proto/http/head.h"

namespace weir::control {

// What a request says of where it comes from.
struct RequestSource {
  Endpoint local;  // that it has come to; empty: a local socket that has no address
  std::string host;
  std::string origin;  // of several: all, which is none of ours
  std::string site;    // Sec-Fetch-Site, likewise
  bool has_origin = false;
  bool has_site = false;
  bool followed_link = false;    // Sec-Fetch-Mode: navigate
  bool looks_like_page = false;  // it has what all browsers send, and machines don't
};
RequestSource read_source(const http::RequestHead& head, const Endpoint& local);

// The addresses and names that the API is known by.
struct OwnHosts {
  std::vector<Endpoint> listen;
  HostList named;  // control.hosts
};

enum class CrossSite : std::uint8_t {
  kNone,           // it may be made
  kForeignHost,    //
  kForeignOrigin,  //
  kOtherSite,      // the browser says so
  kSilentBrowser,  // a browser that doesn't say which page changes something
};

CrossSite judge_source(http::Method method, const RequestSource& source, const OwnHosts& own);
// For logs and metrics: `foreign_host`.
std::string_view to_string(CrossSite verdict);
// For the client: what is wrong, and what to do.
std::string explain(CrossSite verdict, const RequestSource& source);

}  // namespace weir::control
