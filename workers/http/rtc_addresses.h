// RtcAddressBook: the public addresses of WebRTC media, UDP and TCP, that answers name. The names
// among rtc.candidate and rtc.tcp_candidate are followed; those of this host are as they were when
// the worker started. Owner: RtcReader; the resolver outlives it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "common/base/endpoint.h"
#include "common/config/config.h"
#include "workers/core/resolver.h"

namespace weir::http {

class RtcAddressBook {
 public:
  RtcAddressBook(const Config& config, Resolver& resolver);

  std::span<const Endpoint> udp() const { return udp_; }
  // None when ICE over TCP is off.
  std::span<const Endpoint> tcp() const { return tcp_; }
  // A client could be told where to send. Not so while names are all there is, and none is known.
  bool known() const { return !udp_.empty() || !tcp_.empty(); }

 private:
  struct Name {
    std::string text;
    Resolver::Watch watch;
  };

  void follow(const std::string& list, Resolver& resolver);
  std::vector<Endpoint> find(const std::string& list, const Endpoint& listen) const;
  void update();

  const Config& config_;
  std::vector<Name> names_;
  std::vector<Endpoint> udp_;
  std::vector<Endpoint> tcp_;
};

}  // namespace weir::http
