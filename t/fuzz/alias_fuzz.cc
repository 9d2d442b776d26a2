// A rule (pattern, names) and what is asked (host, target), in lines: keys that come out are sound,
// a rule is read the same way again, and a name that a rule gives is never more than its captures.
#include <cstdlib>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/limits.h"
#include "common/route/alias.h"
#include "common/route/http_target.h"
#include "common/route/stream_key.h"

using namespace weir;

namespace {

void demand(bool holds) {
  if (!holds) std::abort();
}

std::string_view take_line(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(line.size() + 1, text.size()));
  return line;
}

void check(const route::StreamKey& key) {
  demand(key.ok() != key.text.empty());
  demand(key.text.size() <= limits::kStreamKeyBytes);
  if (!key.ok()) return;
  demand(!key.vhost().empty() && !key.app().empty() && !key.stream().empty());
  demand(key.stream().find('/') == std::string_view::npos);
  const route::StreamKey again = route::parse_stream_key(key.text);
  demand(again.ok() && again.app_at == key.app_at && again.stream_at == key.stream_at);
}

void check(const route::AliasFound& found, std::size_t names) {
  demand(found.keys.empty() == (found.rule == route::AliasFound::kNone));
  demand(found.keys.size() <= names);
  for (const route::StreamKey& key : found.keys) check(key);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text = as_text({data, size});
  const std::string_view from = take_line(text);
  std::string_view names = take_line(text);
  const std::string_view host = take_line(text);
  const std::string_view path = take_line(text);
  const std::string_view query = take_line(text);
  std::vector<std::string> to;
  while (!names.empty() && to.size() < 10) {
    const std::string_view name = names.substr(0, names.find(' '));
    to.emplace_back(name);
    names.remove_prefix(std::min(name.size() + 1, names.size()));
  }
  const route::AliasText rule{from, to};
  const auto aliases = route::Aliases::make({&rule, 1});
  if (!aliases) return 0;
  const route::HttpTarget target = route::read_http_target(host, path, query);
  if (!target.error.empty()) return 0;
  check(aliases->of_http(host, target.path, target.query, target.key), to.size());
  check(aliases->find(target.key), 1);
  check(aliases->of_key(target.key));
  return 0;
}
