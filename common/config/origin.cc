#include "common/config/origin.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <set>

#include "common/base/ascii.h"
#include "common/base/limits.h"
#include "common/config/nearest.h"
#include "common/config/values.h"

namespace weir::config {
namespace {

constexpr std::int64_t kMaxWeight = limits::kOriginWeight;

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

// What is different in blocks that take their origins from a name.
constexpr OriginRow kFromRows[] = {
    {"name", "name", "", "srs", "up to 23 bytes",
     "What the names of its origins begin with; behind it come - and the address, IPv6 with - in "
     "the place of colons. Empty: the first label of NAME, cut to 23 bytes. No two blocks may have "
     "the same."},
    {"rtmp", "endpoints", "", "rtmp://:1935 1936", "up to 4, PORT among them",
     "RTMP endpoints: port or proto://:port. Empty: PORT alone."},
    {"http", "endpoints", "", "8080", "up to 4", "HTTP stream endpoints: port or proto://:port."},
    {"api", "endpoints", "", "1985", "up to 4", "HTTP API endpoints."},
    {"srt", "endpoints", "", "10080", "up to 4", "SRT endpoints (UDP)."},
    {"rtc", "endpoints", "", "8000", "up to 4", "WebRTC endpoints (UDP)."},
    {"tls_name", "name", "", "origin.example.org", "up to 63 bytes",
     "Name in the certificates of their TLS endpoints (rtmps://, https://). Empty: NAME."},
    {"drain_timeout", "duration", "0", "1h", "0 to 30d",
     "How long an origin whose address has left the name keeps its streams and sessions. Then it "
     "is forgotten; the sessions go on. 0: until nobody is there."},
    {"absent_timeout", "duration", "30s", "30s", "0 to 1d",
     "The name is said not to be there, or to have no address any more: how long an origin must "
     "have failed its probes since then to be drained. Those that answer stay."},
};
constexpr std::size_t kIpTextBytes = 39;  // of IPv6 written out
constexpr std::size_t kPrefixBytes = limits::kOriginTextBytes - 1 - kIpTextBytes;
static_assert(kPrefixBytes == 23, "kFromRows says 23");
constexpr std::uint64_t kDayMs = 86400000;
constexpr std::uint64_t kDrainMaxMs = 30 * kDayMs;
constexpr std::uint64_t kAbsentMs = 30000;

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

// Those that a block of the other kind has, and that mean the same here.
std::vector<OriginRow> from_rows() {
  std::vector<OriginRow> rows(std::begin(kFromRows), std::end(kFromRows));
  for (const OriginRow& row : kRows) {
    const auto same = [&row](const OriginRow& own) { return own.name == row.name; };
    if (row.name != "ip" && std::none_of(std::begin(kFromRows), std::end(kFromRows), same)) {
      rows.push_back(row);
    }
  }
  return rows;
}

bool is_origin_name(std::string_view name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
  };
  return !name.empty() && name.size() <= limits::kOriginTextBytes &&
         std::all_of(name.begin(), name.end(), fits);
}

// Both kinds of blocks.
class OriginReader {
 public:
  OriginReader(const Statement& block, const Document& document, FaultList& faults,
               std::span<const OriginRow> rows)
      : block_(block), document_(document), faults_(faults), rows_(rows) {}

  OriginConfig read() {
    read_name();
    called_ = "origin " + (origin_.name.empty() ? std::string("?") : origin_.name);
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

  OriginsFromConfig read_from() {
    called_ = "origins_from ?";
    set_.absent_timeout = kAbsentMs;
    if (!read_host_and_port()) return set_;
    called_ = "origins_from " + set_.text();
    origin_ = set_.each;
    for (const Statement& statement : block_.children) read_statement(statement);
    if (origin_.name.empty()) {
      const std::string_view host = set_.host();
      origin_.name = host.substr(0, std::min(host.find('.'), kPrefixBytes));
    }
    Endpoint main = origin_.ip;
    main.port = set_.port;
    if (origin_.rtmp.empty()) origin_.rtmp.push_back(main);
    const auto is_main = [this](const Endpoint& each) { return each.port == set_.port; };
    if (std::none_of(origin_.rtmp.begin(), origin_.rtmp.end(), is_main)) {
      fault(block_.name.at, "rtmp", "lacks port " + std::to_string(set_.port));
    }
    set_.each = origin_;
    return set_;
  }

 private:
  // NAME:PORT; the name in small letters, so that one name is one block.
  bool read_host_and_port() {
    const auto complain = [this](const Place& at, const std::string& text) {
      faults_.add(document_, at, "origins_from " + text);
      return false;
    };
    if (block_.values.size() != 1) {
      return complain(block_.name.at, "has one name and port: origins_from NAME:PORT { ... }");
    }
    const Word& word = block_.values[0];
    const std::string text = lower_case(word.text);
    const auto main = parse_origin_endpoint(text, Endpoint{}, &set_.each.hosts);
    if (!main) return complain(word.at, show(word.text) + ": " + main.error().text);
    if (main->family != Family::kName || main->scheme != Scheme::kDefault) {
      return complain(word.at, show(word.text) + " is no host name with a port");
    }
    set_.port = main->port;
    set_.each.ip = *main;
    set_.each.ip.port = 0;
    return true;
  }

  void read_name() {
    if (block_.values.size() != 1 || !is_origin_name(block_.values[0].text)) {
      faults_.add(document_, block_.name.at,
                  "an origin has one name, of up to 63 letters, digits, dots, - and _");
    } else {
      origin_.name = block_.values[0].text;
    }
  }

  void fault(const Place& at, std::string_view option, const std::string& text) {
    std::string path = called_;
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
    const bool known = std::any_of(rows_.begin(), rows_.end(),
                                   [&](const OriginRow& row) { return row.name == name; });
    if (!known) return fault(statement.name.at, "", unknown_option(name, rows_));
    if (statement.is_block) return fault(statement.name.at, name, "is not a block");
    if (!seen_.insert(name).second) return fault(statement.name.at, name, "is given twice");
    if (name == "ip") return;
    for (const Kind& kind : kKinds) {
      if (kind.name == name) return read_endpoints(statement, origin_.*kind.list);
    }
    const Word* value = single(statement);
    if (value == nullptr) return;
    if (name == "name") return read_prefix(*value);
    if (name == "drain_timeout")
      return read_duration(*value, name, kDrainMaxMs, set_.drain_timeout);
    if (name == "absent_timeout") return read_duration(*value, name, kDayMs, set_.absent_timeout);
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
      return fault(
          value.at, "proxy_protocol",
          show(value.text) + " is none of off, v1, v2" + suggest(value.text, {"off", "v1", "v2"}));
    }
    origin_.proxy_protocol = proxy_version(value.text);
  }

  void read_learn(const Word& value) {
    if (std::find(kLearnWords.begin(), kLearnWords.end(), value.text) == kLearnWords.end()) {
      return fault(value.at, "learn",
                   show(value.text) + " is none of auto, srs, nginx_rtmp, off" +
                       suggest(value.text, {kLearnWords.begin(), kLearnWords.end()}));
    }
    origin_.learn = value.text;
  }

  void read_tls_name(const Word& value) {
    if (!is_origin_name(value.text)) return fault(value.at, "tls_name", "is no host name");
    origin_.tls_name = value.text;
  }

  void read_prefix(const Word& value) {
    if (!is_origin_name(value.text) || value.text.size() > kPrefixBytes) {
      return fault(value.at, "name",
                   show(value.text) + " is not up to 23 letters, digits, dots, - and _");
    }
    origin_.name = value.text;
  }

  void read_duration(const Word& value, std::string_view option, std::uint64_t most,
                     std::uint64_t& out) {
    const auto duration = parse_duration(value.text);
    if (!duration) return fault(value.at, option, duration.error().text);
    if (*duration > most) {
      return fault(value.at, option,
                   show(value.text) + " is above the maximum " + print_duration(most));
    }
    out = *duration;
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
      const bool from = set_.port != 0;
      const auto endpoint =
          parse_origin_endpoint(value.text, origin_.ip, from ? nullptr : &origin_.hosts);
      if (from && endpoint && endpoint->family != Family::kName) {
        fault(value.at, name, show(value.text) + " has an address; the name has those");
      } else if (!endpoint) {
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
  std::span<const OriginRow> rows_;
  std::string called_;  // in faults
  OriginConfig origin_;
  OriginsFromConfig set_;  // port 0: it is a block of one origin
  std::set<std::string> seen_;
};

std::string place_text(const Document& document, const Place& at) {
  return document.files[at.file] + ":" + std::to_string(at.line);
}

}  // namespace

std::span<const OriginRow> origin_rows() {
  return kRows;
}

std::string unknown_option(std::string_view name, std::span<const OriginRow> rows) {
  std::vector<std::string_view> names;
  for (const OriginRow& row : rows) names.push_back(row.name);
  return "unknown option " + show(name) + suggest(name, names);
}

OriginConfig read_origin(const Statement& block, const Document& document, FaultList& faults) {
  OriginConfig origin = OriginReader(block, document, faults, kRows).read();
  origin.source.text = place_text(document, block.name.at);
  return origin;
}

std::span<const OriginRow> origins_from_rows() {
  static const std::vector<OriginRow> rows = from_rows();
  return rows;
}

OriginsFromConfig read_origins_from(const Statement& block, const Document& document,
                                    FaultList& faults) {
  OriginsFromConfig set = OriginReader(block, document, faults, origins_from_rows()).read_from();
  set.each.source.text = place_text(document, block.name.at);
  return set;
}

void check_origins_from_clashes(std::span<const OriginsFromConfig> sets,
                                std::span<const Statement* const> blocks, const Document& document,
                                FaultList& faults) {
  std::map<std::string, std::size_t> texts;
  std::map<std::string, std::size_t> prefixes;
  for (std::size_t i = 0; i < sets.size(); ++i) {
    const OriginsFromConfig& set = sets[i];
    if (set.port == 0) continue;  // reported
    const auto place = [&](std::size_t other) {
      return place_text(document, blocks[other]->name.at);
    };
    const auto [same, is_new] = texts.emplace(set.text(), i);
    if (!is_new) {
      faults.add(
          document, blocks[i]->name.at,
          "origins_from " + set.text() + ": is given twice, first at " + place(same->second));
      continue;
    }
    const auto [named, is_free] = prefixes.emplace(set.each.name, i);
    if (!is_free) {
      faults.add(document, blocks[i]->name.at,
                 "origins_from " + set.text() + ".name: " + set.each.name +
                     " is what names begin with at " + place(named->second) + " too");
    }
  }
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

namespace {

// What both kinds of blocks have.
std::string print_common(const OriginConfig& origin, bool with_hosts) {
  std::string out;
  for (const Kind& kind : kKinds) {
    const auto& list = origin.*kind.list;
    if (list.empty()) continue;
    out.append("    ").append(kind.name);
    for (const Endpoint& endpoint : list) {
      const bool plain = endpoint.scheme == Scheme::kDefault;
      const std::string scheme = plain ? "" : std::string(to_string(endpoint.scheme)) + "://";
      const std::string place = with_hosts ? to_string(endpoint, origin.hosts)
                                           : (plain ? "" : ":") + std::to_string(endpoint.port);
      out += " " + print_word(scheme + place);
    }
    out += ";\n";
  }
  out += "    weight " + std::to_string(origin.weight) + ";\n";
  out += "    drain " + print_flag(origin.drain) + ";\n";
  out += "    send_client_ip " + print_flag(origin.send_client_ip) + ";\n";
  out += "    proxy_protocol " + std::string(kProxyWords[origin.proxy_protocol]) + ";\n";
  if (!origin.learn.empty()) out += "    learn " + origin.learn + ";\n";
  if (!origin.tls_name.empty()) out += "    tls_name " + print_word(origin.tls_name) + ";\n";
  return out;
}

}  // namespace

std::string print_origin(const OriginConfig& origin) {
  std::string out = "origin " + print_word(origin.name) + " {  # " + origin.source.text + "\n";
  const bool named = origin.ip.family == Family::kName;
  out += "    ip " +
         (named ? std::string(origin.hosts.at(origin.ip.ip[0])) : ip_to_string(origin.ip)) + ";\n";
  return out + print_common(origin, true) + "}\n";
}

std::string print_origins_from(const OriginsFromConfig& set) {
  std::string out =
      "origins_from " + print_word(set.text()) + " {  # " + set.each.source.text + "\n";
  out += "    name " + print_word(set.each.name) + ";\n" + print_common(set.each, false);
  out += "    drain_timeout " + print_duration(set.drain_timeout) + ";\n";
  out += "    absent_timeout " + print_duration(set.absent_timeout) + ";\n";
  return out + "}\n";
}

}  // namespace weir::config

namespace weir {

std::uint8_t proxy_version(std::string_view word) {
  return word == "v1" ? 1 : word == "v2" ? 2 : 0;
}

std::string OriginsFromConfig::text() const {
  return std::string(host()) + ":" + std::to_string(port);
}

OriginConfig OriginsFromConfig::origin_at(const Endpoint& address) const {
  OriginConfig origin = each;
  const std::string ip = ip_to_string(address);
  origin.name += '-';
  for (const char c : ip) origin.name += c == ':' ? '-' : c;
  const auto put = [&address](Endpoint& endpoint) {
    endpoint.family = address.family;
    std::copy(std::begin(address.ip), std::end(address.ip), std::begin(endpoint.ip));
  };
  put(origin.ip);
  for (auto* list : {&origin.rtmp, &origin.http, &origin.api, &origin.srt, &origin.rtc}) {
    for (Endpoint& endpoint : *list) put(endpoint);
  }
  return origin;
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
