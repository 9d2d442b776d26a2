#include "workers/control/cross_site.h"

#include <algorithm>
#include <array>

#include "common/base/ascii.h"
#include "common/base/network.h"

namespace weir::control {
namespace {

using http::HeaderId;

constexpr std::size_t kShown = 80;  // bytes of a value in an answer
// Names that nobody can have in public: RFC 6761, ICANN's private-use one, and Kubernetes's.
constexpr std::array<std::string_view, 4> kPrivateNames = {".localhost", ".internal", ".svc",
                                                           ".cluster.local"};

// The value; those of a field that stands there twice, joined.
std::string all_values(const http::Fields& fields, std::string_view name, bool& present) {
  std::string all;
  for (const http::Field& field : fields) {
    if (!same_ignoring_case(field.name, name)) continue;
    if (present) all += ", ";
    all += field.value;
    present = true;
  }
  return all;
}

bool is_private_name(std::string_view name) {
  if (name.empty()) return false;
  return name.find('.') == std::string_view::npos ||
         std::any_of(kPrivateNames.begin(), kPrivateNames.end(),
                     [&](std::string_view suffix) { return name.ends_with(suffix); });
}

bool is_known(const Host& host, const RequestSource& source, const OwnHosts& own) {
  if (own.named.has(host)) return true;
  if (!host.name.empty()) return is_private_name(host.name);
  return host.address.is_loopback() || host.address.same_address(unmapped(source.local)) ||
         std::any_of(own.listen.begin(), own.listen.end(), [&](const Endpoint& each) {
           return !each.is_any() && host.address.same_address(unmapped(each));
         });
}

// Whether a Host that is not known may be a name of ours that a machine uses.
bool may_be_service_name(const RequestSource& source, const OwnHosts& own) {
  return own.named.empty() && !unmapped(source.local).is_loopback() && !source.has_origin &&
         !source.has_site && !source.looks_like_page;
}

bool is_own_page(const PageOrigin& page, const Authority& host) {
  Authority asked = host;
  if (asked.port == 0) asked.port = page.https ? 443 : 80;
  return page.authority == asked;
}

std::string shown(std::string_view value) {
  return "\"" + std::string(value.substr(0, kShown)) + (value.size() > kShown ? "...\"" : "\"");
}

}  // namespace

RequestSource read_source(const http::RequestHead& head, const Endpoint& local) {
  RequestSource source;
  source.local = local;
  source.host = head.host;
  source.origin = all_values(head.fields, "Origin", source.has_origin);
  source.site = all_values(head.fields, "Sec-Fetch-Site", source.has_site);
  const http::Field* const mode = head.fields.find("Sec-Fetch-Mode");
  source.followed_link = mode != nullptr && mode->value == "navigate";
  // Node's fetch sends Accept-Language, too, and a mode without a site, which no browser does and
  // no page can bring about.
  const bool node = mode != nullptr && !source.has_site;
  source.looks_like_page = head.fields.get(HeaderId::kUserAgent).starts_with("Mozilla/") ||
                           (!node && head.fields.find("Accept-Language") != nullptr);
  return source;
}

CrossSite judge_source(http::Method method, const RequestSource& source, const OwnHosts& own) {
  if (source.local.empty()) return CrossSite::kNone;  // no page reaches a socket with a path
  const auto host = parse_authority(source.host);
  const bool known = source.host.empty() || (host && is_known(host->host, source, own));
  if (!known && !may_be_service_name(source, own)) return CrossSite::kForeignHost;
  if (source.has_origin) {
    const auto page = parse_page_origin(source.origin);
    if (page && own.named.has(*page)) return CrossSite::kNone;
    if (!page || !host || !is_own_page(*page, *host)) return CrossSite::kForeignOrigin;
  }
  const bool reads = method == http::Method::kGet || method == http::Method::kHead;
  if (source.has_site && source.site != "same-origin" && source.site != "none" &&
      !(reads && source.followed_link)) {
    return CrossSite::kOtherSite;
  }
  if (!reads && !source.has_origin && !source.has_site && source.looks_like_page) {
    return CrossSite::kSilentBrowser;
  }
  return CrossSite::kNone;
}

std::string_view to_string(CrossSite verdict) {
  switch (verdict) {
    case CrossSite::kNone:
      return "none";
    case CrossSite::kForeignHost:
      return "foreign_host";
    case CrossSite::kForeignOrigin:
      return "foreign_origin";
    case CrossSite::kOtherSite:
      return "other_site";
    case CrossSite::kSilentBrowser:
      return "silent_browser";
  }
  return "";
}

std::string explain(CrossSite verdict, const RequestSource& source) {
  switch (verdict) {
    case CrossSite::kNone:
      return {};
    case CrossSite::kForeignHost:
      return "the Host " + shown(source.host) +
             " is not known here, so a page of another site may be asking: add its name to "
             "control.hosts, ask by an address of this machine, or send control.token";
    case CrossSite::kForeignOrigin:
      return "the Origin " + shown(source.origin) +
             " is not this API's own, and pages of other sites may not ask: add it to "
             "control.hosts "
             "as it stands there (https://name), or send control.token";
    case CrossSite::kOtherSite:
      return "the browser says that another site asks (Sec-Fetch-Site: " + shown(source.site) +
             "): ask from a page of this address, with curl or weirctl, or send control.token";
    case CrossSite::kSilentBrowser:
      return "a browser that doesn't say which page asks (no Origin) may not change anything: ask "
             "with curl or weirctl, or send control.token";
  }
  return {};
}

}  // namespace weir::control
