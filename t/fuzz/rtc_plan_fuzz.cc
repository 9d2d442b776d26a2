// A request head, then a Location: targets stay targets, and what we name leads back to itself.
#include <cstdlib>

#include "workers/http/rtc_plan_session.h"

using namespace weir;
using namespace weir::http;

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
    plan_stream_url(plan, text.substr(head.consumed));
    (void)public_prefix(text.substr(head.consumed));
  }
  const std::string target = resolve_location(text, "/whip/a?b");
  if (target.empty()) return 0;
  std::string again = "DELETE " + public_location("", target, kSettings.hint_key, 5, "");
  again += " HTTP/1.1\r\nHost: a.b\r\n\r\n";
  RequestParser second;
  if (second.parse(again, head) != ParseStatus::kComplete) return 0;
  if (plan_rtc(head, kSettings).origin.value_or(5) != 5) std::abort();
  return 0;
}
