// Any text as path, query, range and date: what comes out keeps its promises.
#include <cstdlib>

#include "common/base/bytes.h"
#include "common/proto/http/range.h"
#include "common/proto/http/target.h"

using namespace weir;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = as_text({data, size});
  std::string out, round;
  if (http::normalise_path(text, out) == http::PathError::kNone) {
    const std::string framed = "/" + out + "/";
    for (const char* bad : {"/../", "/./", "//", "\\"}) {
      if (!out.empty() && framed.substr(0, out.size() + 1).find(bad) != out.npos) std::abort();
    }
    if (out.find('\0') != out.npos || out.substr(0, 1) == "/") std::abort();
  }
  const std::string rest = http::remove_param(text, "w");
  if (http::find_param(rest, "w") || rest.size() > size) std::abort();
  std::string escaped;
  http::percent_encode(text, "", escaped);
  if (!http::percent_decode(escaped, round) || round != text) std::abort();
  const auto range = http::parse_range(text, 1000);
  if (range.range.first > range.range.last || range.range.last >= 1000) std::abort();
  const auto date = http::parse_http_date(text);
  if (date && http::parse_http_date(http::format_http_date(*date)) != date) std::abort();
  return 0;
}
