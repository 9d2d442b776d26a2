#include "common/proto/http/forwarded.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "common/base/ascii.h"
#include "common/proto/http/head.h"
#include "common/proto/http/head_writer.h"

namespace weir::http {
namespace {

using Elements = std::vector<std::string_view>;

// The elements of all fields of that name, first to last.
Elements elements_of(const Fields& fields, HeaderId id) {
  Elements out;
  if (!fields.has(id)) return out;
  for (const Field& field : fields) {
    if (field.id != id) continue;
    std::string_view list = field.value;
    std::string_view element;
    while (next_element(list, element)) out.push_back(element);
  }
  return out;
}

std::optional<bool> is_https(std::string_view proto) {
  if (same_ignoring_case(proto, "https") || same_ignoring_case(proto, "wss")) return true;
  if (same_ignoring_case(proto, "http") || same_ignoring_case(proto, "ws")) return false;
  return std::nullopt;
}

std::string_view port_of(std::string_view host) {
  const std::size_t colon = host.rfind(':');
  const std::size_t close = host.rfind(']');
  if (colon == std::string_view::npos || (close != std::string_view::npos && colon < close)) {
    return {};
  }
  return host.substr(colon + 1);
}

std::string_view default_port(const ClientIdentity& identity) {
  return identity.https ? "443" : "80";
}

void set_proto(std::string_view proto, ClientIdentity& identity) {
  if (const auto https = is_https(proto)) {
    identity.https = *https;
    identity.from_fields = true;
  }
}

bool set_host(std::string_view host, ClientIdentity& identity) {
  if (host.empty() || !is_valid_host(host)) return false;
  identity.host = host;
  identity.from_fields = true;
  return true;
}

// Takes the place of a port that only our own Host field has named.
void set_port(std::string_view port, ClientIdentity& identity) {
  std::uint64_t number = 0;
  if (identity.host.empty() || !parse_decimal(port, number) || number == 0 || number > 65535) {
    return;
  }
  const std::string_view old = port_of(identity.host);
  if (!old.empty()) identity.host.resize(identity.host.size() - old.size() - 1);
  const std::string text = std::to_string(number);
  if (text != default_port(identity)) identity.host += ":" + text;
  identity.from_fields = true;
}

// The addresses from the client to our peer, found from the right.
class Chain {
 public:
  Chain(const NetworkList& trusted, ClientIdentity& identity)
      : trusted_(trusted), identity_(identity), last_(trusted.contains(identity.client)) {}

  // False: whoever wrote what stands left of here isn't trusted, or it is no address.
  bool extend(const Endpoint& address) {
    if (!last_ || address.empty()) return false;
    identity_.client = address;
    identity_.from_fields = true;
    texts_.push_back(ip_to_string(address));
    last_ = trusted_.contains(address);
    return last_;
  }
  // More proxies than this in a row are a loop; it also bounds what goes to the origin.
  bool full() const { return texts_.size() >= 32; }
  void write() {
    for (const std::string& text : texts_) identity_.chain = text + ", " + identity_.chain;
  }

 private:
  const NetworkList& trusted_;
  ClientIdentity& identity_;
  std::vector<std::string> texts_;
  bool last_;  // whether what was added last is trusted
};

// The value that the proxy of element `at` of X-Forwarded-For has set: the element of that place
// when each proxy appends one, else the one that was set last, by our peer.
std::string_view beside(const Elements& values, std::size_t at, std::size_t count) {
  if (values.empty()) return {};
  return values.size() == count && at < count ? values[at] : values.back();
}

void apply_x_forwarded(const Fields& fields, const NetworkList& trusted, ClientIdentity& identity) {
  const Elements nodes = elements_of(fields, HeaderId::kXForwardedFor);
  Chain chain(trusted, identity);
  std::size_t at = nodes.size();
  while (at > 0 && !chain.full() && chain.extend(parse_node(nodes[--at]))) continue;
  chain.write();
  set_proto(beside(elements_of(fields, HeaderId::kXForwardedProto), at, nodes.size()), identity);
  const Elements hosts = elements_of(fields, HeaderId::kXForwardedHost);
  const bool named = set_host(beside(hosts, at, nodes.size()), identity);
  if (named && !port_of(identity.host).empty()) return;
  const Elements ports = elements_of(fields, HeaderId::kXForwardedPort);
  set_port(beside(ports, at, nodes.size()), identity);
}

void apply_forwarded(const Fields& fields, const NetworkList& trusted, ClientIdentity& identity) {
  const Elements elements = elements_of(fields, HeaderId::kForwarded);
  Chain chain(trusted, identity);
  ForwardedElement element;
  for (std::size_t at = elements.size(); at > 0 && !chain.full(); --at) {
    std::string_view text = elements[at - 1];
    if (!next_forwarded(text, element)) break;
    // Written by a trusted proxy, even if it hides whom it speaks of.
    set_proto(element.proto, identity);
    set_host(element.host, identity);
    if (!chain.extend(element.client)) break;
  }
  chain.write();
}

void apply_real_ip(const Fields& fields, const NetworkList& trusted, ClientIdentity& identity) {
  Chain chain(trusted, identity);
  chain.extend(parse_node(fields.get(HeaderId::kXRealIp)));
  chain.write();
}

// A token or quoted string from the front of `text`.
bool take_value(std::string_view& text, std::string& out) {
  out.clear();
  if (text.empty() || text.front() != '"') {
    const std::size_t end = std::min(text.find_first_of("; \t"), text.size());
    out = text.substr(0, end);
    text.remove_prefix(end);
    // RFC 7239 wants ports and IPv6 quoted; not everybody does it.
    return !out.empty() && out.find('"') == std::string::npos;
  }
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '"') {
      text.remove_prefix(i + 1);
      return true;
    }
    if (text[i] == '\\' && ++i == text.size()) return false;
    out.push_back(text[i]);
  }
  return false;
}

// The pairs of one element: `for=…;proto=…`.
bool parse_pairs(std::string_view text, ForwardedElement& out) {
  std::string value;
  for (;;) {
    text = trim(text);
    if (text.empty()) return true;
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) return false;
    const std::string_view name = text.substr(0, equals);
    text.remove_prefix(equals + 1);
    if (!is_token(name) || !take_value(text, value)) return false;
    text = trim(text);
    if (!text.empty() && text.front() != ';') return false;
    if (!text.empty()) text.remove_prefix(1);
    if (same_ignoring_case(name, "for")) {
      if (out.has_for) return false;  // at most once in an element
      out.has_for = true;
      out.client = parse_node(value);
    } else if (same_ignoring_case(name, "proto")) {
      out.proto = value;
    } else if (same_ignoring_case(name, "host")) {
      out.host = value;
    }
  }
}

}  // namespace

Endpoint parse_node(std::string_view text) {
  std::string_view address = text;
  std::string_view port;
  if (!text.empty() && text.front() == '[') {
    const std::size_t close = std::min(text.find(']'), text.size() - 1);
    address = text.substr(0, close + 1);
    port = text.substr(close + 1);
  } else if (std::count(text.begin(), text.end(), ':') == 1) {
    address = text.substr(0, text.find(':'));
    port = text.substr(address.size());
  }
  const auto endpoint = parse_ip(address);
  if (!endpoint) return {};
  Endpoint out = unmapped(*endpoint);
  if (port.empty()) return out;
  if (port.front() != ':' || port.size() < 2) return {};
  if (port[1] == '_') return out;  // an obfuscated port
  std::uint64_t number = 0;
  if (!parse_decimal(port.substr(1), number) || number > 65535) return {};
  out.port = static_cast<std::uint16_t>(number);
  return out;
}

bool next_forwarded(std::string_view& value, ForwardedElement& element) {
  element = ForwardedElement{};
  std::string_view rest = value;
  std::string_view text;
  if (!next_element(rest, text)) {
    value = {};
    return false;
  }
  if (!parse_pairs(text, element)) return false;
  value = rest;
  return true;
}

ClientIdentity identify_client(const Arrival& arrival, const Fields& fields,
                               const NetworkList& trusted, const ForwardedPolicy& policy) {
  ClientIdentity identity;
  identity.client = unmapped(arrival.peer);
  identity.https = arrival.tls;
  identity.host = arrival.host;
  identity.chain = ip_to_string(identity.client);
  if (!trusted.contains(identity.client)) return identity;
  const bool any_x = fields.has(HeaderId::kXForwardedFor) ||
                     fields.has(HeaderId::kXForwardedProto) ||
                     fields.has(HeaderId::kXForwardedHost) || fields.has(HeaderId::kXForwardedPort);
  bool have_node = false;
  if (policy.x_forwarded && any_x) {
    apply_x_forwarded(fields, trusted, identity);
    have_node = fields.has(HeaderId::kXForwardedFor);
  } else if (policy.forwarded && fields.has(HeaderId::kForwarded)) {
    apply_forwarded(fields, trusted, identity);
    have_node = true;
  }
  if (policy.x_real_ip && !have_node && fields.has(HeaderId::kXRealIp)) {
    apply_real_ip(fields, trusted, identity);
  }
  return identity;
}

void write_forwarding(HeadWriter& writer, const ClientIdentity& identity) {
  std::string forwarded;
  forwarded.reserve(2 * identity.chain.size() + identity.host.size() + 64);
  std::string_view list = identity.chain;
  std::string_view node;
  while (next_element(list, node)) {
    const bool v6 = node.find(':') != std::string_view::npos;
    forwarded.append(forwarded.empty() ? "for=" : ", for=");
    forwarded.append(v6 ? "\"[" : "").append(node).append(v6 ? "]\"" : "");
    if (node.data() != identity.chain.data()) continue;
    // What the client asked for stands beside its own address.
    if (!identity.host.empty()) forwarded.append(";host=\"").append(identity.host).append("\"");
    forwarded.append(";proto=").append(identity.scheme());
  }
  const std::string_view port = port_of(identity.host);
  writer.field(HeaderId::kXForwardedFor, identity.chain);
  writer.field(HeaderId::kXForwardedProto, identity.scheme());
  if (!identity.host.empty()) writer.field(HeaderId::kXForwardedHost, identity.host);
  writer.field(HeaderId::kXForwardedPort, port.empty() ? default_port(identity) : port);
  writer.field(HeaderId::kXRealIp, ip_to_string(identity.client));
  writer.field(HeaderId::kForwarded, forwarded);
}

}  // namespace weir::http
