// The loader: defaults, then the file's statements, then the environment, then what must hold
// between options. Faults are collected; a later step goes on with what the earlier ones could
// read.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "common/base/host_name.h"
#include "common/base/http_url.h"
#include "common/base/limits.h"
#include "common/base/public_address.h"
#include "common/config/alias.h"
#include "common/config/certificate.h"
#include "common/config/config.h"
#include "common/config/nearest.h"
#include "common/config/options.h"
#include "common/config/origin.h"
#include "common/config/read_file.h"
#include "common/config/syntax.h"
#include "common/config/values.h"

namespace weir {
namespace config {
namespace {

constexpr std::string_view kOwnPrefix = "WEIR_";
constexpr std::string_view kInternalPrefix = "WEIR_INTERNAL_";
constexpr std::string_view kOwnBlocks[] = {"origin", "origins_from", "certificate", "aliases"};
constexpr unsigned kMaxWorkers = 64;
constexpr std::size_t kMaxCertificates = 1024;

// A value that is malformed or unfit, with the option's name in front. Secrets stay unseen: their
// parser's texts never hold the value.
std::string about(const OptionRow& row, const std::string& text) {
  return row.path() + ": " + text;
}

Result<std::uint64_t> parse_core_limit(std::string_view text) {
  if (text == "unlimited") return std::uint64_t{RLIM_INFINITY};
  return parse_size(text);
}

class Loader {
 public:
  Loader(LoadOutcome& outcome, FaultList& faults, Document document)
      : outcome_(outcome),
        config_(outcome.config),
        faults_(faults),
        document_(std::move(document)) {
    for (const std::string& file : document_.files) {
      auto& files = outcome_.files;
      if (std::find(files.begin(), files.end(), file) == files.end()) files.push_back(file);
    }
  }

  void run(const Environment& environment) {
    for (const Statement& statement : document_.statements) apply_top(statement);
    apply_environment(environment);
    check_values();
    check_tls();
    check_listeners();
    check_origins();
  }

 private:
  struct Origin {  // of a value: a place in a file, or a variable
    const Place* at = nullptr;
    std::string_view variable;
  };

  void fault_at(const Place& at, std::string text) { faults_.add(document_, at, std::move(text)); }
  // A fault of an option's value, named where the value came from.
  void fault_of(const OptionRow& row, const std::string& text) {
    const auto found = set_by_.find(&row);
    if (found == set_by_.end()) {
      faults_.add("", 0, 0, about(row, text));
    } else if (found->second.at != nullptr) {
      fault_at(*found->second.at, about(row, text));
    } else {
      faults_.add("environment", 0, 0,
                  std::string(found->second.variable) + ": " + about(row, text));
    }
  }
  void fault_of(std::string_view section, std::string_view name, const std::string& text) {
    fault_of(*find_option(section, name), text);
  }

  void apply_top(const Statement& statement) {
    const std::string& name = statement.name.text;
    if (name == "origin") return add_origin(statement);
    if (name == "origins_from") return add_origins_from(statement);
    if (name == "certificate") return add_certificate(statement);
    if (name == "aliases") return add_aliases(statement);
    if (!is_section(name)) return apply_option("", statement);
    if (!statement.is_block) {
      return fault_at(statement.name.at, name + " is a block: " + name + " { ... }");
    }
    if (!statement.values.empty()) {
      fault_at(statement.values[0].at, "block " + name + " takes no name");
    }
    for (const Statement& child : statement.children) apply_option(name, child);
  }

  void add_origin(const Statement& statement) {
    if (!statement.is_block) {
      return fault_at(statement.name.at, "origin is a block: origin NAME { ... }");
    }
    config_.origins.push_back(read_origin(statement, document_, faults_));
    origin_blocks_.push_back(&statement);
  }

  // Without a block too: all that it needs stands in its name.
  void add_origins_from(const Statement& statement) {
    config_.origins_from.push_back(read_origins_from(statement, document_, faults_));
    origins_from_blocks_.push_back(&statement);
  }

  void add_certificate(const Statement& statement) {
    if (!statement.is_block) {
      return fault_at(statement.name.at, "certificate is a block: certificate NAME { ... }");
    }
    config_.certificates.push_back(read_certificate(statement, document_, faults_));
  }

  void add_aliases(const Statement& statement) {
    if (!statement.is_block) {
      return fault_at(statement.name.at, "aliases is a block: aliases { ... }");
    }
    read_aliases(statement, document_, faults_, config_.aliases);
  }

  void apply_option(std::string_view section, const Statement& statement) {
    const Place& at = statement.name.at;
    const OptionRow* row = find_option(section, statement.name.text);
    if (row == nullptr) {
      const std::string kind = statement.is_block ? "unknown block " : "unknown option ";
      const std::string in = section.empty() ? "" : " in " + std::string(section);
      return fault_at(at, kind + show(statement.name.text) + in + meant(section, statement));
    }
    if (statement.is_block) return fault_at(at, about(*row, "is not a block"));
    const auto [earlier, is_new] = set_by_.try_emplace(row, Origin{&at, {}});
    if (!is_new) {
      const Place& first = *earlier->second.at;
      return fault_at(at, about(*row, "is given twice, first at " + document_.files[first.file] +
                                          ":" + std::to_string(first.line)));
    }
    if (statement.values.size() != 1) {
      return fault_at(
          at, about(*row, "takes one value, not " + std::to_string(statement.values.size())));
    }
    const Word& value = statement.values[0];
    earlier->second.at = &value.at;
    if (const auto done = row->set(config_, *row, value.text); !done) {
      return fault_at(value.at, about(*row, done.error().text));
    }
    config_.sources[row->path()].text = document_.files[at.file] + ":" + std::to_string(at.line);
  }

  // What may have been meant by a name that the section does not have.
  static std::string meant(std::string_view section, const Statement& statement) {
    const std::string_view name = statement.name.text;
    std::vector<std::string_view> names;
    std::string elsewhere;
    for (const OptionRow& row : option_rows()) {
      if (row.section == section && !(section.empty() && statement.is_block)) {
        names.push_back(row.name);
      }
      if (row.name != name || statement.is_block) continue;
      elsewhere += elsewhere.empty() ? "" : ", ";
      elsewhere += row.section.empty() ? "the top level" : row.section;
    }
    if (!elsewhere.empty()) return "; it belongs in " + elsewhere;
    if (section.empty()) {
      names.insert(names.end(), std::begin(kOwnBlocks), std::end(kOwnBlocks));
      for (const SectionRow& row : section_rows()) names.push_back(row.name);
    }
    return suggest(name, names);
  }

  // An empty variable is an unset one, as in the reference.
  void apply_environment(const Environment& environment) {
    std::set<std::string_view> known;
    for (const OptionRow& row : option_rows()) {
      if (row.env.empty()) continue;
      known.insert(row.env);
      const auto found = environment.find(row.env);
      if (found == environment.end() || found->second.empty()) continue;
      set_by_[&row] = Origin{nullptr, row.env};
      if (const auto done = row.set(config_, row, found->second); !done) {
        fault_of(row, done.error().text);
      } else {
        config_.sources[row.path()].text = "env " + std::string(row.env);
      }
    }
    for (auto it = environment.lower_bound(kOwnPrefix);
         it != environment.end() && it->first.starts_with(kOwnPrefix); ++it) {
      if (known.count(it->first) != 0 || it->first.starts_with(kInternalPrefix)) continue;
      outcome_.warnings.push_back("environment variable " + show(it->first) + " is not known" +
                                  suggest(it->first, {known.begin(), known.end()}));
    }
  }

  void check_values() {
    if (config_.balance.store == "redis") {
      fault_of("balance", "store", "redis is not available in this release");
    }
    if (config_.worker_processes != "auto") {
      const auto count = parse_int(config_.worker_processes);
      if (!count || *count < 1 || *count > std::int64_t{kMaxWorkers}) {
        fault_of("", "worker_processes",
                 show(config_.worker_processes) + " is neither auto nor a number from 1 to 64");
      }
    }
    if (!config_.worker_rlimit_core.empty() && !parse_core_limit(config_.worker_rlimit_core)) {
      fault_of("", "worker_rlimit_core",
               show(config_.worker_rlimit_core) + " is neither a size nor unlimited");
    }
    if (config_.log.target == "file" && config_.log.file.empty()) {
      fault_of("log", "target", "file needs log.file");
    }
    if (config_.access_log.target == "file" && config_.access_log.file.empty()) {
      fault_of("access_log", "target", "file needs access_log.file");
    }
    if (config_.balance.eject_time > config_.balance.eject_time_max) {
      fault_of(pick_set("balance", "eject_time", "eject_time_max"),
               "balance.eject_time " + print_duration(config_.balance.eject_time) +
                   " is longer than balance.eject_time_max " +
                   print_duration(config_.balance.eject_time_max));
    }
    check_candidates("candidate", config_.rtc.candidate);
    check_candidates("tcp_candidate", config_.rtc.tcp_candidate);
    check_origin_path("rtc", "whip_path", config_.rtc.whip_path);
    check_origin_path("rtc", "whep_path", config_.rtc.whep_path);
    check_origin_path("learn", "stat_path", config_.learn.stat_path);
    check_proxy_protocol();
    check_resolver();
    check_hooks();
    check_default_backend();
  }

  void check_candidates(std::string_view name, const std::string& text) {
    const auto words = parse_public_addresses(text);
    if (!words) fault_of("rtc", name, words.error().text);
  }

  void check_origin_path(std::string_view section, std::string_view name, const std::string& path) {
    const bool plain = std::all_of(path.begin(), path.end(), [](char c) {
      return c > 0x20 && c < 0x7F && c != '#' && c != '"' && c != '\\';
    });
    if (!plain || !path.starts_with('/') || path.find("/..") != std::string::npos) {
      fault_of(section, name, show(path) + " is no absolute path with an optional query");
    }
  }

  void check_proxy_protocol() {
    if (!config_.proxy_protocol_networks.empty()) return;
    const std::pair<std::string_view, bool> listeners[] = {
        {"control", config_.control.proxy_protocol},
        {"rtmp", config_.rtmp.proxy_protocol},
        {"http", config_.http.proxy_protocol},
        {"http_api", config_.http_api.proxy_protocol}};
    for (const auto& [section, on] : listeners) {
      if (on) fault_of(section, "proxy_protocol", "needs proxy_protocol_networks");
    }
  }

  void check_resolver() {
    const auto servers = parse_name_servers(config_.resolver.nameservers);
    if (!servers) fault_of("resolver", "nameservers", servers.error().text);
    if (config_.resolver.ttl_min > config_.resolver.ttl_max) {
      fault_of("resolver", "ttl_min",
               print_duration(config_.resolver.ttl_min) + " is longer than resolver.ttl_max " +
                   print_duration(config_.resolver.ttl_max));
    }
  }

  void check_hooks() {
    const Config::Hooks& hooks = config_.hooks;
    const std::pair<std::string_view, const std::string*> urls[] = {
        {"on_play", &hooks.on_play},
        {"on_publish", &hooks.on_publish},
        {"on_stop", &hooks.on_stop},
        {"on_unpublish", &hooks.on_unpublish}};
    for (const auto& [name, text] : urls) {
      if (text->empty()) continue;
      const auto url = parse_http_url(*text);
      if (!url) fault_of("hooks", name, url.error().text);
    }
  }

  // Of two options that clash, the one that was set; the first when both were.
  const OptionRow& pick_set(std::string_view section, std::string_view a,
                            std::string_view b) const {
    const OptionRow& first = *find_option(section, a);
    return set_by_.count(&first) != 0 ? first : *find_option(section, b);
  }

  // Checked even when it is off: a value that would fail the day it is switched on is a fault.
  void check_default_backend() {
    const Config::DefaultBackend& backend = config_.default_backend;
    HostNames names;
    const auto ip = parse_origin_host(backend.ip, names);
    if (!ip) return fault_of("default_backend", "ip", ip.error().text);
    const std::pair<std::string_view, const std::string*> endpoints[] = {{"rtmp", &backend.rtmp},
                                                                         {"http", &backend.http},
                                                                         {"api", &backend.api},
                                                                         {"rtc", &backend.rtc},
                                                                         {"srt", &backend.srt}};
    for (const auto& [name, text] : endpoints) {
      if (text->empty()) continue;
      const auto endpoint = parse_origin_endpoint(*text, *ip, &names);
      if (!endpoint) fault_of("default_backend", name, endpoint.error().text);
    }
    if (backend.enabled && std::all_of(std::begin(endpoints), std::end(endpoints),
                                       [](const auto& entry) { return entry.second->empty(); })) {
      fault_of("default_backend", "enabled", "the default backend has no endpoint");
    }
  }

  void check_tls() {
    if (config_.tls.min_protocol == "tls1.3" && config_.tls.max_protocol == "tls1.2") {
      fault_of(pick_set("tls", "min_protocol", "max_protocol"),
               "tls.min_protocol is newer than tls.max_protocol");
    }
    if (!config_.tls.origin_ca.empty()) {
      auto text = read_file(config_.tls.origin_ca, limits::kAuthoritiesBytes);
      if (!text) {
        return fault_of("tls", "origin_ca", show(config_.tls.origin_ca) + ": " + text.error().text);
      }
      config_.origin_ca = std::move(*text);
    }
    const std::pair<std::string_view, const Endpoint*> listeners[] = {
        {"control", &config_.control.tls_listen},
        {"rtmp", &config_.rtmp.tls_listen},
        {"http", &config_.http.tls_listen},
        {"http_api", &config_.http_api.tls_listen}};
    for (const auto& [section, address] : listeners) {
      if (address->empty() || !config_.certificates.empty()) continue;
      fault_of(section, "tls_listen", "needs a certificate block");
    }
    if (config_.certificates.size() > kMaxCertificates) {
      faults_.add("", 0, 0, "more than " + std::to_string(kMaxCertificates) + " certificates");
    }
  }

  struct Listener {
    std::string_view section;
    std::string_view name;
    const Endpoint* address;
    bool udp;
    bool used;
  };

  static bool overlap(const Endpoint& a, const Endpoint& b) {
    if (a.port != b.port || a.family != b.family) return false;
    Endpoint any;
    any.family = a.family;
    return a.same_address(b) || a.same_address(any) || b.same_address(any);
  }

  void check_listeners() {
    const Listener listeners[] = {
        {"control", "listen", &config_.control.listen, false, true},
        {"control", "tls_listen", &config_.control.tls_listen, false, true},
        {"rtmp", "listen", &config_.rtmp.listen, false, config_.rtmp.enabled},
        {"rtmp", "tls_listen", &config_.rtmp.tls_listen, false, config_.rtmp.enabled},
        {"http", "listen", &config_.http.listen, false, true},
        {"http", "tls_listen", &config_.http.tls_listen, false, true},
        {"http_api", "listen", &config_.http_api.listen, false, true},
        {"http_api", "tls_listen", &config_.http_api.tls_listen, false, true},
        {"rtc", "listen", &config_.rtc.listen, true, config_.rtc.enabled},
        {"rtc", "tcp_listen", &config_.rtc.tcp_listen, false, config_.rtc.enabled},
        {"srt", "listen", &config_.srt.listen, true, config_.srt.enabled}};
    for (const Listener& a : listeners) {
      for (const Listener* b = &a + 1; b != std::end(listeners); ++b) {
        if (a.address->empty() || b->address->empty()) continue;
        if (!a.used || !b->used || a.udp != b->udp || !overlap(*a.address, *b->address)) continue;
        // Named where one of the two was set: the default of the other is nobody's fault.
        const OptionRow* second = find_option(b->section, b->name);
        const OptionRow* first = find_option(a.section, a.name);
        const bool at_second = set_by_.count(second) != 0;
        const Listener& other = at_second ? a : *b;
        const Listener& own = at_second ? *b : a;
        fault_of(at_second ? *second : *first, to_string(*own.address) + (a.udp ? "/udp" : "/tcp") +
                                                   " clashes with " + std::string(other.section) +
                                                   "." + std::string(other.name) + " " +
                                                   to_string(*other.address));
      }
    }
  }

  void check_origins() {
    check_origin_clashes(config_.origins, origin_blocks_, document_, faults_);
    check_origins_from_clashes(config_.origins_from, origins_from_blocks_, document_, faults_);
    if (config_.origins_from.size() > limits::kNamedSets) {
      faults_.add(document_, origins_from_blocks_[limits::kNamedSets]->name.at,
                  "more than " + std::to_string(limits::kNamedSets) + " origins_from blocks");
    }
    if (config_.origins.size() > static_cast<std::size_t>(config_.max_origins)) {
      fault_of("", "max_origins",
               std::to_string(config_.origins.size()) + " origin blocks need as many slots");
    }
  }

  LoadOutcome& outcome_;
  Config& config_;
  FaultList& faults_;
  const Document document_;
  std::map<const OptionRow*, Origin> set_by_;
  std::vector<const Statement*> origin_blocks_;
  std::vector<const Statement*> origins_from_blocks_;
};

}  // namespace
}  // namespace config

std::string to_string(const Fault& fault) {
  std::string out = fault.where;
  if (fault.line != 0) {
    out += ":" + std::to_string(fault.line) + ":" + std::to_string(fault.column);
  }
  return out.empty() ? fault.text : out + ": " + fault.text;
}

std::string lines_of(const std::vector<Fault>& faults) {
  std::string out;
  for (const Fault& fault : faults) out += (out.empty() ? "" : "\n") + to_string(fault);
  return out;
}

Environment read_environment(const char* const* list) {
  Environment environment;
  for (; list != nullptr && *list != nullptr; ++list) {
    const std::string_view entry(*list);
    const std::size_t equals = entry.find('=');
    if (equals == std::string_view::npos || equals == 0) continue;
    environment.emplace(entry.substr(0, equals), entry.substr(equals + 1));
  }
  return environment;
}

LoadOutcome load_config(const std::string& path, const Environment& environment) {
  LoadOutcome outcome;
  config::FaultList faults(outcome.faults);
  config::Document document;
  if (!path.empty()) document = config::parse_file(path, environment, faults);
  config::Loader(outcome, faults, std::move(document)).run(environment);
  return outcome;
}

LoadOutcome load_config_text(const std::string& name, std::string_view text,
                             const Environment& environment) {
  LoadOutcome outcome;
  config::FaultList faults(outcome.faults);
  config::Document document = config::parse_text(name, text, environment, faults);
  config::Loader(outcome, faults, std::move(document)).run(environment);
  return outcome;
}

std::string choose_config_path(std::string_view from_command_line) {
  if (!from_command_line.empty()) return std::string(from_command_line);
  return ::access(kDefaultConfigPath, F_OK) == 0 ? kDefaultConfigPath : "";
}

unsigned worker_count(const Config& config, unsigned cpu_cores) {
  const auto number = config::parse_int(config.worker_processes);
  const std::int64_t wanted = number ? *number : std::int64_t{cpu_cores};
  return static_cast<unsigned>(
      std::clamp(wanted, std::int64_t{1}, std::int64_t{config::kMaxWorkers}));
}

TlsSettings tls_settings(const Config& config) {
  TlsSettings settings;
  for (const CertificateConfig& each : config.certificates) {
    settings.certificates.push_back(each.tls);
  }
  settings.min_is_13 = config.tls.min_protocol == "tls1.3";
  settings.max_is_12 = config.tls.max_protocol == "tls1.2";
  settings.ciphers = config.tls.ciphers;
  settings.ciphersuites = config.tls.ciphersuites;
  settings.tickets = config.tls.session_tickets;
  settings.ticket_lifetime_ms = config.tls.ticket_lifetime;
  settings.origin_verify = config.tls.origin_verify;
  settings.origin_ca = config.origin_ca;
  return settings;
}

std::optional<std::uint64_t> core_limit(const Config& config) {
  const auto limit = config::parse_core_limit(config.worker_rlimit_core);
  return limit ? std::optional<std::uint64_t>(*limit) : std::nullopt;
}

}  // namespace weir
