#include "workers/http/rtc_addresses.h"

#include <algorithm>

#include "common/base/public_address.h"
#include "common/net/public_addresses.h"

namespace weir::http {

RtcAddressBook::RtcAddressBook(const Config& config, Resolver& resolver) : config_(config) {
  follow(config.rtc.candidate, resolver);
  if (!config.rtc.tcp_listen.empty()) follow(config.rtc.tcp_candidate, resolver);
  update();
}

void RtcAddressBook::follow(const std::string& list, Resolver& resolver) {
  const auto words = parse_public_addresses(list);
  if (!words || list.empty()) return;
  for (const PublicAddress& word : *words) {
    if (word.kind != PublicAddress::Kind::kName) continue;
    names_.push_back({word.name, resolver.watch(word.name, [this] { update(); })});
  }
}

std::vector<Endpoint> RtcAddressBook::find(const std::string& list, const Endpoint& listen) const {
  return net::find_public_addresses(list, listen, [this](const std::string& name) {
    const auto found = std::find_if(names_.begin(), names_.end(),
                                    [&name](const Name& each) { return each.text == name; });
    return found != names_.end() && found->watch ? found->watch.addresses()
                                                 : std::vector<Endpoint>{};
  });
}

// The ports that stand in rtc.candidate are those of UDP.
void RtcAddressBook::update() {
  const Config::Rtc& rtc = config_.rtc;
  udp_ = find(rtc.candidate, rtc.listen);
  tcp_.clear();
  if (rtc.tcp_listen.empty()) return;
  if (!rtc.tcp_candidate.empty()) {
    tcp_ = find(rtc.tcp_candidate, rtc.tcp_listen);
    return;
  }
  for (Endpoint address : find(rtc.candidate, rtc.tcp_listen)) {
    address.port = rtc.tcp_listen.port;
    if (std::find(tcp_.begin(), tcp_.end(), address) == tcp_.end()) tcp_.push_back(address);
  }
}

}  // namespace weir::http
