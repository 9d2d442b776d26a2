#include "common/base/access_list.h"

#include <algorithm>
#include <string>
#include <utility>

namespace weir {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

}  // namespace

bool AccessList::allows(const Endpoint& client) const {
  const auto rule = std::find_if(rules_.begin(), rules_.end(),
                                 [&](const Rule& r) { return r.networks.contains(client); });
  return rule == rules_.end() || rule->allow;
}

Result<AccessList> parse_access_list(std::string_view text) {
  AccessList list;
  while (!text.empty()) {
    const std::size_t end = text.find_first_of(",;");
    const std::string_view rule = trimmed(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (rule.empty()) continue;
    const std::size_t space = rule.find_first_of(kSpace);
    const std::string_view verb = rule.substr(0, space);
    const std::string shown = "\"" + std::string(rule.substr(0, 80)) + "\"";
    if (verb != "allow" && verb != "deny")
      return fail(shown + " begins with neither allow nor deny");
    if (space == std::string_view::npos) return fail(shown + " names no network");
    auto networks = parse_networks(rule.substr(space));
    if (!networks) return tl::unexpected<Error>(networks.error());
    list.add(verb == "allow", std::move(*networks));
  }
  return list;
}

}  // namespace weir
