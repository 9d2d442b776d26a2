// A path and a query, separated by NUL: only what we made is believed; no hint outlives the strip.
#include <cstdlib>

#include "common/base/bytes.h"
#include "common/route/origin_hint.h"

using namespace weir;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = as_text({data, size});
  const std::string_view path = text.substr(0, text.find('\0'));
  const std::string_view query = text.substr(std::min(path.size() + 1, text.size()));
  static const route::HintKey kKey = route::derive_hint_key("fuzz");
  if (!route::hint_in_query(route::query_without_hint(query)).empty()) std::abort();
  const std::string_view value = route::hint_in_query(query);
  const auto hint = route::parse_hint(value);
  if (!hint) return 0;
  const std::string_view scope = route::hint_scope(path);
  const std::string made = route::make_hint(kKey, hint->fingerprint, scope);
  if ((made == value) != route::verify_hint(kKey, *hint, scope)) std::abort();
  const auto again = route::parse_hint(made);
  if (!again || again->fingerprint != hint->fingerprint) std::abort();
  if (!route::verify_hint(kKey, *again, scope)) std::abort();
  return 0;
}
