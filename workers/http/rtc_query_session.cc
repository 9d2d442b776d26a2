#include "workers/http/rtc_query_session.h"

#include <algorithm>
#include <array>

#include "common/proto/http/target.h"
#include "common/route/origin_hint.h"
#include "common/route/query_reading.h"
#include "workers/http/rtc_plan_session.h"

namespace weir::http {
namespace {

// `to` is null for what is never passed on: our own, and the two by which a caller makes SRS take
// one method for another.
struct Known {
  std::string_view name;
  std::string RtcQuery::*to;
  bool in_stream_url;
};
constexpr std::array<Known, 11> kKnown = {{{"app", &RtcQuery::app, false},
                                           {"stream", &RtcQuery::stream, false},
                                           {"vhost", &RtcQuery::vhost, true},
                                           {"domain", &RtcQuery::vhost, true},
                                           {"action", &RtcQuery::action, false},
                                           {"eip", &RtcQuery::eip, true},
                                           {"candidate", &RtcQuery::eip, true},
                                           {"callback", nullptr, false},
                                           {"method", nullptr, false},
                                           {route::kHintParameter, nullptr, true},
                                           {kFlowParameter, nullptr, true}}};

// What SRS parts a query at.
constexpr std::string_view kSeparators = "=,&;";

const Known* find_known(std::string_view written, QueryOf of) {
  const auto found = std::find_if(kKnown.begin(), kKnown.end(), [&](const Known& known) {
    return (of == QueryOf::kRequest || known.in_stream_url) &&
           route::is_param_name(written, known.name);
  });
  return found == kKnown.end() ? nullptr : &*found;
}

bool is_named(const QueryParam& param, std::string_view name) {
  std::string decoded;
  return param.name == name || (percent_decode(param.name, decoded) && decoded == name);
}

// A piece up to one of `ends`, taken from the front of `text`. False at the end.
bool take_piece(std::string_view& text, std::string_view ends, std::string_view& piece) {
  if (text.data() == nullptr) return false;
  const std::size_t end = text.find_first_of(ends);
  piece = text.substr(0, end);
  text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  return true;
}

// Whether some origin finds one of our parameters in what is passed on as it is.
bool is_ambiguous(std::string_view rest, QueryOf of) {
  std::string_view piece;
  for (std::string_view left = rest; take_piece(left, "&;,?", piece);) {
    if (find_known(piece.substr(0, piece.find('=')), of) != nullptr) return true;
  }
  bool is_name = true;
  for (std::string_view left = rest; take_piece(left, kSeparators, piece); is_name = !is_name) {
    if (is_name && find_known(piece, of) != nullptr) return true;
  }
  return false;
}

// Slashes that a form has escaped separate nested apps.
void unescape_slashes(std::string& value) {
  for (const std::string_view slash : {"%2F", "%2f"}) {
    for (std::size_t at = 0; (at = value.find(slash, at)) != std::string::npos;) {
      value.replace(at, slash.size(), "/");
    }
  }
}

// Empty, or what is wrong.
std::string_view take_known(const Known& known, std::string_view value, RtcQuery& out) {
  if (known.to == nullptr) return {};
  std::string& field = out.*known.to;
  if (!field.empty() && field != value && !value.empty()) {
    return "a parameter is there twice, with two values";
  }
  if (known.to != &RtcQuery::eip && value.find_first_of("=,;?") != std::string_view::npos) {
    return "a name in the query has a separator in it";
  }
  if (!value.empty()) field = value;
  return {};
}

}  // namespace

RtcQuery read_rtc_query(std::string_view query, QueryOf of) {
  RtcQuery out;
  QueryParam param;
  while (next_param(query, param)) {
    const Known* known = find_known(param.name, of);
    if (known == nullptr) {
      if (!out.rest.empty()) out.rest += '&';
      out.rest += param.whole;
    } else if (out.error.empty()) {
      out.error = take_known(*known, param.value, out);
    }
  }
  if (out.error.empty() && is_ambiguous(out.rest, of)) {
    out.error = "the query can be read in two ways";
  }
  unescape_slashes(out.app);
  unescape_slashes(out.stream);
  std::string eip;
  out.eip = percent_decode(out.eip, eip) ? eip : std::string();
  return out;
}

bool is_named_twice(std::string_view query, std::string_view name) {
  std::size_t times = 0;
  QueryParam param;
  while (next_param(query, param)) {
    if (is_named(param, name)) ++times;
  }
  return times > 1;
}

std::optional<std::string_view> last_param(std::string_view query, std::string_view name) {
  std::optional<std::string_view> out;
  QueryParam param;
  while (next_param(query, param)) {
    if (is_named(param, name)) out = param.value;
  }
  return out;
}

std::string without_last_param(std::string_view query, std::string_view name) {
  std::string_view last;
  QueryParam param;
  for (std::string_view left = query; next_param(left, param);) {
    if (is_named(param, name)) last = param.whole;
  }
  if (last.empty()) return std::string(query);
  const auto at = static_cast<std::size_t>(last.data() - query.data());
  std::string_view before = query.substr(0, at);
  std::string_view after = query.substr(at + last.size());
  if (after.starts_with('&')) {
    after.remove_prefix(1);
  } else if (before.ends_with('&')) {
    before.remove_suffix(1);
  }
  return std::string(before).append(after);
}

}  // namespace weir::http
