// A request head, then a Location: targets stay targets, and what we name leads back to itself.
#include <cstdlib>

#include "workers/http/rtc_plan_session.h"

using namespace weir;
using namespace weir::http;

namespace {

// What is sent on means the same when it is read again.
void check_again(const RequestHead& head, const RtcPlan& plan, const RtcPlanSettings& settings) {
  const std::string host = plan.host.empty() ? std::string(head.host) : plan.host;
  const std::string text = "POST " + plan.target + " HTTP/1.1\r\nHost: " + host +
                           "\r\nContent-Type: application/sdp\r\n\r\n";
  RequestParser parser;
  RequestHead again;
  if (parser.parse(text, again) != ParseStatus::kComplete) return;
  const RtcPlan same = plan_rtc(again, settings);
  if (same.step != RtcStep::kOffer || same.key != plan.key || same.target != plan.target) {
    std::abort();
  }
}

void check_url(RtcPlan plan, std::string_view url) {
  const RtcPlan before = plan;
  const std::string sent = plan_stream_url(plan, url);
  if (plan.step != RtcStep::kOffer) return;
  RtcPlan second = before;
  if (plan_stream_url(second, sent) != sent || second.key != plan.key) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = as_text({data, size});
  static const RtcPlanSettings kSettings{route::derive_hint_key("fuzz"),
                                         "/rtc/v1/whip/?app=[app]&stream=[stream]", "/[app]/w"};
  RequestParser parser;
  RequestHead head;
  if (parser.parse(text, head) == ParseStatus::kComplete) {
    RtcPlan plan = plan_rtc(head, kSettings);
    if (plan.step == RtcStep::kOffer && !plan.target.starts_with('/')) std::abort();
    if (plan.step == RtcStep::kRefused && plan.status < 400) std::abort();
    if (plan.step == RtcStep::kOffer && plan.api == RtcApi::kWhip) {
      check_again(head, plan, kSettings);
    }
    plan.step = RtcStep::kOffer;
    check_url(plan, text.substr(head.consumed));
    (void)public_prefix(text.substr(head.consumed));
  }
  const std::string target = resolve_location(text, "/whip/a?b");
  if (target.empty()) return 0;
  if (target.size() <= 4096 && resolve_location(target, "/whip/a?b") != target &&
      !target.starts_with("//")) {
    std::abort();
  }
  std::string again = "DELETE " + public_location("", target, kSettings.hint_key, 5, "");
  again += " HTTP/1.1\r\nHost: a.b\r\n\r\n";
  RequestParser second;
  if (second.parse(again, head) != ParseStatus::kComplete) return 0;
  if (plan_rtc(head, kSettings).origin.value_or(5) != 5) std::abort();
  return 0;
}
