// Who the client is behind trusted proxies, and what the origin is told of it: X-Forwarded-For,
// -Proto, -Host, -Port, Forwarded (RFC 7239) and X-Real-IP. Pure. Fields count only if the peer of
// the connection is in a trusted network; then the list of addresses is walked from the right past
// all trusted ones, and what stands further left was written by nobody we know.
//
// A proxy that sets one kind of field but passes another one through lets clients forge it: an
// operator can narrow ForwardedPolicy to what the own balancer sets. Precedence is X-Forwarded-*,
// Forwarded, X-Real-IP, because balancers that know only the first are the most common.
#pragma once

#include <string>
#include <string_view>

#include "common/base/endpoint.h"
#include "common/base/network.h"
#include "common/proto/http/fields.h"

namespace weir::http {

struct ForwardedPolicy {
  bool x_forwarded = true;
  bool forwarded = true;
  bool x_real_ip = true;
};

// How the request reached us: the connection itself, or what a PROXY header said of it.
struct Arrival {
  Endpoint peer;
  bool tls = false;
  std::string_view host;  // RequestHead::host
};

struct ClientIdentity {
  Endpoint client;           // port 0 when a field named the address without one
  bool https = false;        // what the client spoke to the outermost proxy
  std::string host;          // with port, if the client's URL has one; may be empty
  std::string chain;         // X-Forwarded-For for the origin: client, trusted proxies, our peer
  bool from_fields = false;  // some field was believed

  std::string_view scheme() const { return https ? "https" : "http"; }
  // `https://host`, for absolute URLs that we produce.
  std::string base_url() const { return std::string(scheme()) + "://" + host; }
};

ClientIdentity identify_client(const Arrival& arrival, const Fields& fields,
                               const NetworkList& trusted, const ForwardedPolicy& policy = {});

// One element of Forwarded; values without quotes. Obfuscated and `unknown` nodes give an empty
// endpoint.
struct ForwardedElement {
  Endpoint client;
  std::string proto;
  std::string host;
  bool has_for = false;
};
// Takes the next element from the front of `value`. False at the end or if it is malformed (then
// `value` is not empty).
bool next_forwarded(std::string_view& value, ForwardedElement& element);
// `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]`, `[2001:db8::1]:80`, `2001:db8::1`; else empty.
Endpoint parse_node(std::string_view text);

class HeadWriter;
// Adds X-Forwarded-For, -Proto, -Host, -Port, X-Real-IP and Forwarded for the origin. Copy the
// client's fields with kForwardingFields skipped, so that no other value stands beside these.
void write_forwarding(HeadWriter& writer, const ClientIdentity& identity);

}  // namespace weir::http
