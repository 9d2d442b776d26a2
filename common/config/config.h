// Config: every option of Weir as typed members, derived from options.def, and the way to get one:
// defaults, then the file, then the environment, checked as a whole.
//
// A loaded Config is a plain value: the master makes a new one at SIGHUP, compares, and passes it
// to the generation that it forks. Nothing here keeps state or logs. docs/OPTIONS.md is the
// reference.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/host_name.h"
#include "common/base/tls_settings.h"
#include "common/config/values.h"

namespace weir {

// The C++ types behind the type names of options.def.
namespace option_type {
using Flag = bool;
using Int = std::int64_t;
using Size = std::uint64_t;      // bytes
using Duration = std::uint64_t;  // milliseconds
using Text = std::string;
using Secret = std::string;
using Networks = std::string;  // parse_networks() takes it
using Access = std::string;    // parse_access_list() takes it
using Hosts = std::string;     // parse_host_list() takes it
using Enum = std::string;      // one of the option's words
using Listen = Endpoint;
}  // namespace option_type

// Where a value came from, for -T and for messages. Two configurations are equal whatever theirs.
struct Provenance {
  std::string text;  // "default", "/etc/weir/weir.conf:12", "env PROXY_RTMP_SERVER"
  friend bool operator==(const Provenance&, const Provenance&) { return true; }
};

// `origin NAME { ip 10.0.0.1; rtmp 1935; ... }`: an origin that needs no registration.
struct OriginConfig {
  std::string name;  // 1 to limits::kOriginTextBytes of [A-Za-z0-9_.-]
  HostNames hosts;   // that stand in place of addresses
  Endpoint ip;       // port 0
  std::vector<Endpoint> rtmp, http, api, srt, rtc;  // each up to limits::kEndpointsPerKind
  std::uint32_t weight = 1;                         // 0 to 1000; 0: gets no new streams
  bool drain = false;
  bool send_client_ip = false;
  std::uint8_t proxy_protocol = 0;  // version of the header that it gets; 0: none
  std::string learn;                // a word of learn.mode; empty: as that says
  std::string tls_name;  // in its certificate; empty: the first of hosts, or its IP address
  Provenance source;
  friend bool operator==(const OriginConfig&, const OriginConfig&) = default;
};

// `origins_from NAME:PORT { http 8080; ... }`: each address of a host name is an origin of its own.
struct OriginsFromConfig {
  // As each of them: `hosts` has the name, in whose place origin_at() puts an address, and `name`
  // is what theirs begin with.
  OriginConfig each;
  std::uint16_t port = 0;            // of RTMP; names the block together with the name
  std::uint64_t drain_timeout = 0;   // ms; 0: one that left stays until nobody is there
  std::uint64_t absent_timeout = 0;  // ms of failed probes while there is no such name
  friend bool operator==(const OriginsFromConfig&, const OriginsFromConfig&) = default;

  std::string_view host() const { return each.hosts.at(1); }
  std::string text() const;  // NAME:PORT
  OriginConfig origin_at(const Endpoint& address) const;
};

// `certificate NAME { file chain.pem; key key.pem; }`, with what was in the files.
struct CertificateConfig {
  TlsCertificate tls;
  std::string file, key, ocsp;  // paths; no ocsp: empty
  Provenance source;
};

// One rule of an `aliases { ... }` block, its own or of a preset (common/base/alias_rule.h).
struct AliasConfig {
  std::string from;
  std::vector<std::string> to;  // 1 to limits::kAliasTargets
  Provenance source;            // also of which preset it is
  friend bool operator==(const AliasConfig&, const AliasConfig&) = default;
};

struct Config {
#define SECTION(section, Struct, doc) struct Struct {
#define END_SECTION(section) \
  }                          \
  section;
#define OPTION(section, name, Type, initial, min, max, unit, reload, env, doc) \
  option_type::Type name = config::from_default::Type(initial);
#include "common/config/options.def"
  std::vector<OriginConfig> origins;
  std::vector<OriginsFromConfig> origins_from;
  std::vector<CertificateConfig> certificates;
  std::vector<AliasConfig> aliases;  // in their order, at most limits::kAliasRules
  std::string origin_ca;             // what is in the file tls.origin_ca
  std::map<std::string, Provenance, std::less<>> sources;  // by option path; defaults are left out
};

// Same values of all options and origins, whatever their provenance. Certificates count by the
// paths of their files.
bool operator==(const Config& a, const Config& b);

struct Fault {
  std::string where;         // a file's path, "environment", or "" for the command line
  std::uint32_t line = 0;    // 1-based; 0: the fault has no place in a file
  std::uint32_t column = 0;  // 1-based, in bytes
  std::string text;
};
// `/etc/weir/weir.conf:12:3: rtmp.relay_delay: 2s is above the maximum 1s`
std::string to_string(const Fault& fault);
// A line for each.
std::string lines_of(const std::vector<Fault>& faults);

struct LoadOutcome {
  Config config;              // meaningful only when ok()
  std::vector<Fault> faults;  // in the order of the text, at most kMaxFaults and a last word
  std::vector<std::string> warnings;  // things that are odd but harmless
  std::vector<std::string> files;     // all files that were read
  bool ok() const { return faults.empty(); }
};
inline constexpr std::size_t kMaxFaults = 100;

using Environment = std::map<std::string, std::string, std::less<>>;
// Copies a NULL-terminated list of NAME=value, such as ::environ.
Environment read_environment(const char* const* list);

// Loads `path`, or the defaults alone when it is empty; then the environment.
LoadOutcome load_config(const std::string& path, const Environment& environment);
// The same for text that is at hand; `name` stands for it in faults, and includes are taken
// relative to its folder.
LoadOutcome load_config_text(const std::string& name, std::string_view text,
                             const Environment& environment);

inline constexpr const char* kDefaultConfigPath = "/etc/weir/weir.conf";
// What -c said, else kDefaultConfigPath if it exists, else "" for the built-in defaults.
std::string choose_config_path(std::string_view from_command_line);

// The effective configuration in the file's own syntax, each value with its source. It loads again
// to an equal Config, except for secrets, which are masked.
std::string print_config(const Config& config);

// Options of class kRestart whose values differ, as "section.name". Secrets are named, not shown.
std::vector<std::string> restart_changes(const Config& running, const Config& next);
// Gives those options in `next` the values of `running`.
void keep_restart_values(const Config& running, Config& next);

// Workers of each protocol: worker_processes, with auto as `cpu_cores`, from 1 to 64.
unsigned worker_count(const Config& config, unsigned cpu_cores);
// worker_rlimit_core in bytes, RLIM_INFINITY for unlimited; empty when it is to stay as it is.
std::optional<std::uint64_t> core_limit(const Config& config);
// Section tls and the certificates. Whether they are any good is not known here.
TlsSettings tls_settings(const Config& config);
// A value of origin_proxy_protocol, or of proxy_protocol in an origin block, as a version.
std::uint8_t proxy_version(std::string_view word);
// default_backend as an origin named "default"; empty when it is off.
std::optional<OriginConfig> default_backend_origin(const Config& config);

// docs/OPTIONS.md and conf/weir.conf, whole.
std::string options_markdown();
std::string options_conf();
std::string options_man();  // the part of weir.conf(5) between what it is and where more stands

}  // namespace weir
