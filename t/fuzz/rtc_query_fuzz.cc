// The query of a signalling request: what has been taken out of it is nowhere in what is left, for
// no origin, and written in front of it again it is read as it was; Weir's own parameters, the last
// ones, come off one by one.
#include <array>
#include <cstdlib>
#include <string>
#include <utility>

#include "common/base/bytes.h"
#include "common/proto/http/target.h"
#include "t/00unit/route_query_support.h"
#include "workers/http/rtc_query_session.h"

using namespace weir;
using namespace weir::http;

namespace {

void demand(bool holds) {
  if (!holds) std::abort();
}

bool is_silent(const RtcQuery& query) {
  return query.error.empty() && query.app.empty() && query.stream.empty() && query.vhost.empty() &&
         query.action.empty() && query.eip.empty();
}

void check_rest(const std::string& rest, QueryOf of) {
  static constexpr std::array<const char*, 9> kNames = {
      "vhost", "domain", "eip", "candidate", "app", "stream", "action", "callback", "method"};
  const RtcQuery again = read_rtc_query(rest, of);
  demand(is_silent(again) && again.rest == rest);
  auto srs = model::srs_query(rest);
  const std::size_t known = of == QueryOf::kRequest ? kNames.size() : 4;
  for (std::size_t i = 0; i < known; ++i) {
    demand(srs[kNames[i]].empty() && model::nginx_arg(rest, kNames[i]).empty());
  }
}

std::string unescaped(const std::string& text) {
  std::string out;
  return percent_decode(text, out) ? out : text;
}

// As rtc_plan_session.cc writes them.
void check_again(const RtcQuery& query) {
  static constexpr std::array<std::pair<std::string_view, std::string RtcQuery::*>, 4> kNamed = {
      {{"vhost", &RtcQuery::vhost},
       {"app", &RtcQuery::app},
       {"stream", &RtcQuery::stream},
       {"action", &RtcQuery::action}}};
  std::string text;
  for (const auto& [name, part] : kNamed) {
    std::string escaped;
    percent_encode(unescaped(query.*part), "/:@!$'()*+", escaped);
    if (!escaped.empty()) append_param(text, name, escaped);
  }
  if (!query.rest.empty()) text.append(text.empty() ? "" : "&").append(query.rest);
  const RtcQuery again = read_rtc_query(text, QueryOf::kRequest);
  demand(again.error.empty() && again.rest == query.rest && again.eip.empty());
  for (const auto& [name, part] : kNamed) demand(unescaped(query.*part) == unescaped(again.*part));
}

void check_last(std::string_view query, std::string_view name) {
  std::string left(query);
  std::size_t times = 0;
  while (last_param(left, name)) {
    const bool twice = is_named_twice(left, name);
    const std::string shorter = without_last_param(left, name);
    demand(shorter.size() < left.size() && last_param(shorter, name).has_value() == twice);
    left = shorter;
    if (++times > 100) return;
  }
  demand(without_last_param(left, name) == left && !is_named_twice(left, name));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = as_text({data, size});
  for (const QueryOf of : {QueryOf::kRequest, QueryOf::kStreamUrl}) {
    const RtcQuery query = read_rtc_query(text, of);
    if (!query.error.empty()) continue;
    check_rest(query.rest, of);
    if (of == QueryOf::kRequest) check_again(query);
  }
  check_last(text, "weir");
  check_last(text, "weir-session");
  return 0;
}
