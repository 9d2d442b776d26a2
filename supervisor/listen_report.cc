#include "supervisor/listen_report.h"

#include <algorithm>
#include <cstddef>

#include "common/base/log.h"

namespace weir {
namespace {

void append(std::string& list, const std::string& item) {
  if (!list.empty()) list += ", ";
  list += item;
}

void append(std::string& list, const Endpoint& address, std::string_view before,
            std::string_view after) {
  if (address.empty()) return;
  append(list, std::string(before) + to_string(address) + std::string(after));
}

// Whether a file or a variable has set any option of the section.
bool is_asked(const Config& config, std::string_view section) {
  const std::string prefix = std::string(section) + ".";
  return std::any_of(config.sources.begin(), config.sources.end(),
                     [&](const auto& source) { return source.first.starts_with(prefix); });
}

ListenKind kind_of(const Config& config, std::string_view section, bool enabled,
                   const Endpoint& plain, const Endpoint& tls) {
  ListenKind kind{section, {}, is_asked(config, section)};
  if (!enabled) return kind;
  append(kind.addresses, plain, "", "");
  append(kind.addresses, tls, "tls://", "");
  return kind;
}

}  // namespace

std::vector<ListenKind> listen_kinds(const Config& config) {
  const Endpoint none;
  ListenKind rtc = kind_of(config, "rtc", config.rtc.enabled, none, none);
  if (config.rtc.enabled) {
    append(rtc.addresses, config.rtc.listen, "", "/udp");
    append(rtc.addresses, config.rtc.tcp_listen, "", "");
  }
  ListenKind srt = kind_of(config, "srt", config.srt.enabled, none, none);
  if (config.srt.enabled) append(srt.addresses, config.srt.listen, "", "/udp");
  return {kind_of(config, "rtmp", config.rtmp.enabled, config.rtmp.listen, config.rtmp.tls_listen),
          kind_of(config, "http", config.http.enabled, config.http.listen, config.http.tls_listen),
          kind_of(config, "http_api", config.http_api.enabled, config.http_api.listen,
                  config.http_api.tls_listen),
          rtc,
          srt,
          kind_of(config, "control", true, config.control.listen, config.control.tls_listen)};
}

std::string unasked_listeners(const Config& config) {
  std::string out;
  for (const ListenKind& kind : listen_kinds(config)) {
    // By default the System API is for this machine alone.
    if (kind.asked || kind.addresses.empty() || kind.section == "control") continue;
    append(out, std::string(kind.section) + " " + kind.addresses);
  }
  return out;
}

void log_listeners(const Config& config, const Config* before) {
  const std::vector<ListenKind> now = listen_kinds(config);
  const std::vector<ListenKind> old = before == nullptr ? now : listen_kinds(*before);
  for (std::size_t i = 0; i < now.size(); ++i) {
    const std::string& addresses = now[i].addresses;
    if (before == nullptr ? addresses.empty() : addresses == old[i].addresses) continue;
    LogLine(LogLevel::kNotice, addresses.empty() ? "listens no more" : "listening")
        .field("kind", now[i].section)
        .field("addresses", addresses.empty() ? old[i].addresses : addresses);
  }
  const std::string unasked = unasked_listeners(config);
  if (before != nullptr || unasked.empty()) return;
  LogLine(LogLevel::kNotice, "these listen although the configuration names none of them")
      .field("addresses", unasked)
      .field("remedy", kUnaskedRemedy);
}

}  // namespace weir
