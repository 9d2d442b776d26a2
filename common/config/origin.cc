#include "common/config/origin.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <set>

#include "common/base/limits.h"
#include "common/config/values.h"

namespace weir::config {
namespace {

constexpr std::int64_t kMaxWeight = 1000;

constexpr OriginRow kRows[] = {
    {"ip", "host", "", "10.0.0.1", "IPv4, IPv6 or host name, without port",
     "Its address, or a name that is looked up by section resolver and followed. Must be given."},
    {"rtmp", "endpoints", "", "1935", "up to 4",
     "RTMP endpoints: port, host:port or proto://host:port."},
    {"http", "endpoints", "", "8080", "up to 4", "HTTP stream endpoints."},
    {"api", "endpoints", "", "1985", "up to 4", "HTTP API endpoints."},
    {"srt", "endpoints", "", "10080", "up to 4", "SRT endpoints (UDP)."},
    {"rtc", "endpoints", "", "8000", "up to 4", "WebRTC endpoints (UDP)."},
    {"weight", "number", "1", "1", "0 to 1000", "Its share of new streams. 0: it gets none."},
    {"drain", "flag", "off", "off", "on, off", "Keep its streams, give it no new ones."},
    {"send_client_ip", "flag", "off", "off", "on, off",
     "Send the client's address in SRS's 0xF3 form before the handshake."},
    {"proxy_protocol", "word", "off", "off", "off, v1, v2",
     "Send the client's address in a PROXY protocol header of this version, before RTMP and HTTP."},
    {"learn", "word", "learn.mode", "off", "auto, srs, nginx_rtmp, off",
     "Which of its APIs is asked for its streams, and whether one is."},
    {"tls_name", "name", "", "origin.example.org", "up to 63 bytes",
     "Name in the certificate of its TLS endpoints (rtmps://, https://). Empty: its first host "
     "name, or else its IP address."},
};

struct Kind {
  std::string_view name;
  std::vector<Endpoint> OriginConfig::*list;
};
constexpr std::array<Kind, 5> kKinds = {{{"rtmp", &OriginConfig::rtmp},
                                         {"http", &OriginConfig::http},
                                         {"api", &OriginConfig::api},
                                         {"srt", &OriginConfig::srt},
                                         {"rtc", &OriginConfig::rtc}}};
static_assert(limits::kEndpointsPerKind == 4, "kRows says 4");

constexpr std::array<std::string_view, 3> kProxyWords = {"off", "v1", "v2"};
constexpr std::array<std::string_view, 4> kLearnWords = {"auto", "srs", "nginx_rtmp", "off"};

bool is_origin_name(std::string_view name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
  };
  return !name.empty() && name.size() <= limits::kOriginTextBytes &&
         std::all_of(name.begin(), name.end(), fits);
}

class OriginReader {
 public:
  OriginReader(const Statement& block, const Document& document, FaultList& faults)
      : block_(block), document_(document), faults_(faults) {}

  OriginConfig read() {
    read_name();
    // The address first: endpoints without one of their own take it.
    for (const Statement& statement : block_.children) {
      if (statement.name.text == "ip") read_ip(statement);
    }
    for (const Statement& statement : block_.children) read_statement(statement);
    const bool reachable = std::any_of(kKinds.begin(), kKinds.end(), [&](const Kind& kind) {
      return seen_.count(std::string(kind.name)) != 0;
    });
    if (seen_.count("ip") == 0) fault(block_.name.at, "", "has no ip");
    if (!reachable) fault(block_.name.at, "", "has no endpoint: rtmp, http, api, srt or rtc");
    return origin_;
  }

 private:
  void read_name() {
    if (block_.values.size() != 1 || !is_origin_name(block_.values[0].text)) {
      faults_.add(document_, block_.name.at,
                  "an origin has one name, of up to 63 letters, digits, dots, - and _");
    } else {
      origin_.name = block_.values[0].text;
    }
  }

  void fault(const Place& at, std::string_view option, const std::string& text) {
    std::string path = "origin " + (origin_.name.empty() ? std::string("?") : origin_.name);
    if (!option.empty()) path.append(".").append(option);
    faults_.add(document_, at, path + ": " + text);
  }

  // The statement's one value, or null after naming the fault.
  const Word* single(const Statement& statement) {
    if (statement.values.size() == 1) return &statement.values[0];
    fault(statement.name.at, statement.name.text, "takes one value");
    return nullptr;
  }

  void read_ip(const Statement& statement) {
    if (statement.is_block || origin_.ip.family != Family::kNone) return;  // reported later
    const Word* value = single(statement);
    if (value == nullptr) return;
    const auto ip = parse_origin_host(value->text, origin_.hosts);
    if (ip) {
      origin_.ip = *ip;
    } else {
      fault(value->at, "ip", ip.error().text);
    }
  }

  void read_statement(const Statement& statement) {
    const std::string& name = statement.name.text;
    const bool known = std::any_of(std::begin(kRows), std::end(kRows),
                                   [&](const OriginRow& row) { return row.name == name; });
    if (!known) return fault(statement.name.at, "", "unknown option " + show(name));
    if (statement.is_block) return fault(statement.name.at, name, "is not a block");
    if (!seen_.insert(name).second) return fault(statement.name.at, name, "is given twice");
    if (name == "ip") return;
    for (const Kind& kind : kKinds) {
      if (kind.name == name) return read_endpoints(statement, origin_.*kind.list);
    }
    const Word* value = single(statement);
    if (value == nullptr) return;
    if (name == "weight") return read_weight(*value);
    if (name == "proxy_protocol") return read_proxy_protocol(*value);
    if (name == "tls_name") return read_tls_name(*value);
    if (name == "learn") return read_learn(*value);
    const auto flag = parse_flag(value->text);
    if (!flag) return fault(value->at, name, flag.error().text);
    (name == "drain" ? origin_.drain : origin_.send_client_ip) = *flag;
  }

  void read_proxy_protocol(const Word& value) {
    if (value.text != "off" && value.text != "v1" && value.text != "v2") {
      return fault(value.at, "proxy_protocol", show(value.text) + " is none of off, v1, v2");
    }
    origin_.proxy_protocol = proxy_version(value.text);
  }

  void read_learn(const Word& value) {
    if (std::find(kLearnWords.begin(), kLearnWords.end(), value.text) == kLearnWords.end()) {
      return fault(value.at, "learn", show(value.text) + " is none of auto, srs, nginx_rtmp, off");
    }
    origin_.learn = value.text;
  }

  void read_tls_name(const Word& value) {
    if (!is_origin_name(value.text)) return fault(value.at, "tls_name", "is no host name");
    origin_.tls_name = value.text;
  }

  void read_weight(const Word& value) {
    const auto weight = parse_int(value.text);
    if (!weight) return fault(value.at, "weight", weight.error().text);
    if (*weight < 0 || *weight > kMaxWeight) {
      return fault(value.at, "weight", show(value.text) + " is outside of 0 to 1000");
    }
    origin_.weight = static_cast<std::uint32_t>(*weight);
  }

  void read_endpoints(const Statement& statement, std::vector<Endpoint>& list) {
    const std::string& name = statement.name.text;
    if (statement.values.empty()) return fault(statement.name.at, name, "takes an endpoint");
    if (statement.values.size() > limits::kEndpointsPerKind) {
      return fault(statement.name.at, name, "takes up to 4 endpoints");
    }
    for (const Word& value : statement.values) {
      const auto endpoint = parse_origin_endpoint(value.text, origin_.ip, &origin_.hosts);
      if (!endpoint) {
        // Without a usable ip there is a fault already; the endpoint itself may be right.
        if (origin_.ip.family != Family::kNone) fault(value.at, name, endpoint.error().text);
      } else if (std::find(list.begin(), list.end(), *endpoint) != list.end()) {
        fault(value.at, name, show(value.text) + " is given twice");
      } else {
        list.push_back(*endpoint);
      }
    }
  }

  const Statement& block_;
  const Document& document_;
  FaultList& faults_;
  OriginConfig origin_;
  std::set<std::string> seen_;
};

std::string place_text(const Document& document, const Place& at) {
  return document.files[at.file] + ":" + std::to_string(at.line);
}

}  // namespace

std::span<const OriginRow> origin_rows() {
  return kRows;
}

OriginConfig read_origin(const Statement& block, const Document& document, FaultList& faults) {
  OriginConfig origin = OriginReader(block, document, faults).read();
  origin.source.text = place_text(document, block.name.at);
  return origin;
}

void check_origin_clashes(std::span<const OriginConfig> origins,
                          std::span<const Statement* const> blocks, const Document& document,
                          FaultList& faults) {
  std::map<std::string, std::size_t> names;
  std::map<std::string, std::size_t> addresses;
  for (std::size_t i = 0; i < origins.size(); ++i) {
    const OriginConfig& origin = origins[i];
    const Place& at = blocks[i]->name.at;
    if (origin.name.empty()) continue;
    const auto [named, is_new] = names.emplace(origin.name, i);
    if (!is_new) {
      faults.add(document, at,
                 "origin " + origin.name + ": the name is taken by the one at " +
                     place_text(document, blocks[named->second]->name.at));
    }
    for (const Endpoint& endpoint : origin.rtmp) {
      const auto [found, free] = addresses.emplace(to_string(endpoint, origin.hosts), i);
      if (free || found->second == i) continue;
      faults.add(document, at,
                 "origin " + origin.name + ".rtmp: " + found->first + " belongs to origin " +
                     origins[found->second].name + " too");
    }
  }
}

std::string print_origin(const OriginConfig& origin) {
  std::string out = "origin " + print_word(origin.name) + " {  # " + origin.source.text + "\n";
  const bool named = origin.ip.family == Family::kName;
  out += "    ip " +
         (named ? std::string(origin.hosts.at(origin.ip.ip[0])) : ip_to_string(origin.ip)) + ";\n";
  for (const Kind& kind : kKinds) {
    const auto& list = origin.*kind.list;
    if (list.empty()) continue;
    out.append("    ").append(kind.name);
    for (const Endpoint& endpoint : list) {
      const bool plain = endpoint.scheme == Scheme::kDefault;
      const std::string scheme = plain ? "" : std::string(to_string(endpoint.scheme)) + "://";
      out += " " + print_word(scheme + to_string(endpoint, origin.hosts));
    }
    out += ";\n";
  }
  out += "    weight " + std::to_string(origin.weight) + ";\n";
  out += "    drain " + print_flag(origin.drain) + ";\n";
  out += "    send_client_ip " + print_flag(origin.send_client_ip) + ";\n";
  out += "    proxy_protocol " + std::string(kProxyWords[origin.proxy_protocol]) + ";\n";
  if (!origin.learn.empty()) out += "    learn " + origin.learn + ";\n";
  if (!origin.tls_name.empty()) out += "    tls_name " + print_word(origin.tls_name) + ";\n";
  return out + "}\n";
}

}  // namespace weir::config

namespace weir {

std::uint8_t proxy_version(std::string_view word) {
  return word == "v1" ? 1 : word == "v2" ? 2 : 0;
}

std::optional<OriginConfig> default_backend_origin(const Config& config) {
  const Config::DefaultBackend& backend = config.default_backend;
  OriginConfig origin;
  const auto ip = parse_origin_host(backend.ip, origin.hosts);
  if (!backend.enabled || !ip) return std::nullopt;
  origin.name = "default";
  origin.ip = *ip;
  origin.source.text = "default_backend";
  origin.proxy_protocol = proxy_version(config.origin_proxy_protocol);
  const auto add = [&](std::vector<Endpoint>& list, const std::string& text) {
    if (text.empty()) return;
    if (const auto endpoint = parse_origin_endpoint(text, *ip, &origin.hosts))
      list.push_back(*endpoint);
  };
  add(origin.rtmp, backend.rtmp);
  add(origin.http, backend.http);
  add(origin.api, backend.api);
  add(origin.rtc, backend.rtc);
  add(origin.srt, backend.srt);
  return origin;
}

}  // namespace weir
