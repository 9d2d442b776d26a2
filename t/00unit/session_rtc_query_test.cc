// What Weir has judged is what SRS does: for random queries and addresses, the stream, vhost and
// role that Weir found are those that SRS's way of reading finds in what is sent on.
#include <doctest/doctest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "common/proto/http/target.h"
#include "common/route/stream_key.h"
#include "t/00unit/route_query_support.h"
#include "workers/http/rtc_plan_session.h"
#include "workers/http/rtc_query_session.h"

using namespace weir::http;
using weir::model::nginx_arg;
using weir::model::srs_query;

namespace {

using Values = std::map<std::string, std::string>;

std::string decoded(const std::string& text) {
  std::string out;
  return percent_decode(text, out) ? out : text;
}

// SRS takes the host as it is for the vhost; one that it doesn't know, such as an address, is the
// default one.
std::string srs_key(const std::string& vhost, const std::string& app, const std::string& stream,
                    std::string_view weirs) {
  const std::string_view wanted = weirs.substr(0, weirs.find('/'));
  const auto addressed = weir::route::make_stream_key({vhost, "a", "s", ""});
  REQUIRE(addressed.ok());
  const bool same = vhost == wanted || (wanted == weir::route::kDefaultVhost &&
                                        addressed.vhost() == weir::route::kDefaultVhost);
  return (same ? std::string(wanted) : "other " + vhost) + "/" + decoded(app) + "/" +
         decoded(stream);
}

std::string without_port(const std::string& host) {
  return host.substr(0, host.find(':'));
}

struct Seen {
  std::string key;
  bool publisher = false;
};

Seen srs_whip(const std::string& target, const std::string& host, std::string_view weirs) {
  const std::size_t mark = std::min(target.find('?'), target.size());
  Values query = srs_query(target.substr(std::min(mark + 1, target.size())));
  const std::string path = target.substr(0, mark);
  const auto value = [&](const char* name, const char* otherwise) {
    return query[name].empty() ? std::string(otherwise) : query[name];
  };
  const bool play = path.ends_with("/whip-play/") || path.ends_with("/whep/");
  REQUIRE((play || path == "/rtc/v1/whip/"));
  return {srs_key(without_port(host), value("app", "live"), value("stream", "livestream"), weirs),
          !play && value("action", "publish") == "publish"};
}

std::string srs_stream_url(const std::string& url, std::string_view weirs) {
  const std::size_t slash = url.rfind('/');
  std::string full = url.substr(0, slash) + "/" + url.substr(slash + 1);
  REQUIRE(full.find("...vhost...") == std::string::npos);
  REQUIRE(full.find("/_definst_") == std::string::npos);
  const std::size_t mark = full.find_first_of("?#");
  const std::size_t last = full.rfind('/');
  if (mark != std::string::npos && mark < last) {
    full = full.substr(0, mark) + full.substr(last) + full.substr(mark, last - mark);
  }
  for (const char c : full) REQUIRE((c > 0x20 && c < 0x7F));
  const std::size_t begin = full.find("://") + 3;
  const std::size_t path = full.find('/', begin);
  const std::size_t query = std::min(full.find('?'), full.size());
  Values values = srs_query(full.substr(std::min(query + 1, full.size())));
  std::string vhost = values["vhost"].empty() ? values["domain"] : values["vhost"];
  if (vhost.empty() || vhost == "__defaultVhost__") {
    vhost = without_port(full.substr(begin, path - begin));
  }
  const std::string name = full.substr(path, query - path);
  return srs_key(vhost, name.substr(1, name.rfind('/') - 1), name.substr(name.rfind('/') + 1),
                 weirs);
}

class Random {
 public:
  std::string one_of(const std::vector<std::string>& from) { return from[engine_() % from.size()]; }
  std::size_t below(std::size_t bound) { return engine_() % bound; }

  std::string query() {
    static const std::vector<std::string> kNames = {
        "app",   "stream",   "app", "stream", "vhost",    "domain",    "action", "x",   "token",
        "%61pp", "st%72eam", "eip", "method", "callback", "candidate", "",       "APP", "Stream"};
    static const std::vector<std::string> kValues = {
        "live",  "public",   "secret",  "live",          "public",
        "a/b",   "a%2Fb",    "play",    "publish",       "",
        "c%3Bx", "a:b+c",    "=",       "o.org",         "O.org",
        "%20s",  "stream",   "app",     "?vhost=o.org",  "__defaultVhost__",
        "%",     "10.0.0.1", "/secret", "#stream=secret"};
    static const std::vector<std::string> kEnds = {"&", "&", "&", "&", "&&", ";", ",", "?", "="};
    std::string out;
    for (std::size_t left = below(7); left > 0; --left) {
      out += one_of(kNames) + one_of({"=", "=", "=", "=", "", "=="}) + one_of(kValues);
      if (left > 1) out += one_of(kEnds);
    }
    return out;
  }

 private:
  std::mt19937 engine_{7};
};

}  // namespace

TEST_CASE("queries: SRS reads what Weir has read") {
  Random random;
  std::size_t sent = 0;
  for (int i = 0; i < 60000; ++i) {
    const std::string target = random.one_of({"/rtc/v1/whip/", "/rtc/v1/whep/", "/whip/live/public",
                                              "/rtc/v1/whip", "/rtc/v1/whip-play/"}) +
                               "?" + random.query();
    const std::string host = random.one_of({"w.org:1985", "W.org", "10.0.0.1:1985", "localhost"});
    const std::string text = "POST " + target + " HTTP/1.1\r\nHost: " + host +
                             "\r\nContent-Type: application/sdp\r\n\r\n";
    RequestParser parser;
    RequestHead head;
    if (parser.parse(text, head) != weir::ParseStatus::kComplete) continue;
    const RtcPlan plan = plan_rtc(
        head, {weir::route::derive_hint_key("s"), "/rtc/v1/whip/?app=[app]&stream=[stream]",
               "/rtc/v1/whep/?app=[app]&stream=[stream]"});
    if (plan.step != RtcStep::kOffer) continue;
    CAPTURE(target);
    CAPTURE(plan.target);
    ++sent;
    const Seen seen = srs_whip(plan.target, plan.host.empty() ? host : plan.host, plan.key);
    REQUIRE(seen.key == plan.key);
    REQUIRE(seen.publisher == plan.publisher);
    const std::string query = plan.target.substr(plan.target.find('?') + 1);
    const std::string name = decoded(nginx_arg(query, "app") + "/" + nginx_arg(query, "stream"));
    REQUIRE(plan.key.ends_with("/" + name));
  }
  CHECK(sent > 3000);
}

TEST_CASE("addresses in bodies: SRS reads what Weir has read") {
  Random random;
  std::size_t sent = 0;
  for (int i = 0; i < 60000; ++i) {
    const std::string url =
        random.one_of({"webrtc", "rtmp"}) + "://" +
        random.one_of({"w.org:1985", "W.org", "10.0.0.1", "u@w.org", "", "w.org:x"}) + "/" +
        random.one_of({"live", "a/b", "live/_definst_", "l\xC3\xA4", ""}) + "/" +
        random.one_of({"public", "p#x", "p,q", "p;q", "p...vhost...x", "%2F"}) +
        random.one_of({"?", "?", "", "#"}) + random.query();
    RtcPlan plan;
    plan.step = RtcStep::kOffer;
    const std::string canonical = plan_stream_url(plan, url);
    if (plan.step != RtcStep::kOffer) continue;
    CAPTURE(url);
    CAPTURE(canonical);
    ++sent;
    REQUIRE(srs_stream_url(canonical, plan.key) == plan.key);
  }
  CHECK(sent > 3000);
}
