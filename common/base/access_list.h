// AccessList: an ordered list of `allow` and `deny` rules by network; the first that matches
// decides. Plain value. Pure.
#pragma once

#include <string_view>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/network.h"
#include "common/base/result.h"

namespace weir {

class AccessList {
 public:
  // Where no rule matches, the client is allowed.
  bool allows(const Endpoint& client) const;
  void add(bool allow, NetworkList networks) { rules_.push_back({allow, std::move(networks)}); }
  bool empty() const { return rules_.empty(); }

 private:
  struct Rule {
    bool allow = true;
    NetworkList networks;
  };
  std::vector<Rule> rules_;
};

// Rules separated by commas or semicolons, each `allow` or `deny` and networks as parse_networks()
// takes them: "deny 10.1.2.3, allow 10.0.0.0/8 loopback, deny all". An empty text has no rule.
Result<AccessList> parse_access_list(std::string_view text);

}  // namespace weir
