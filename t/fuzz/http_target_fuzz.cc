// Target and host, separated by NUL, of a request for a stream: what goes on is canonical, so that
// it is read in the same way by whoever reads it next; what it is judged by is what SRS and nginx
// find in it.
#include <algorithm>
#include <cstdlib>
#include <string>

#include "common/base/bytes.h"
#include "common/base/limits.h"
#include "common/proto/http/head.h"
#include "common/route/http_target.h"
#include "t/00unit/route_query_support.h"

using namespace weir;

namespace {

void demand(bool holds) {
  if (!holds) std::abort();
}

// What an origin finds under these names means what was judged.
void check_origin(const route::HttpTarget& target, const std::string& host, std::string vhost,
                  const std::string& app, const std::string& stream) {
  const route::StreamKey& key = target.key;
  if (vhost.empty()) vhost = key.vhost();
  const std::string_view path = target.path;
  const auto found = target.by_query ? route::make_stream_key({host, app, stream, "vhost=" + vhost})
                                     : route::from_http_path(host, path, "vhost=" + vhost);
  demand(found.text == key.text);
}

void check(const http::RequestHead& head) {
  const route::HttpTarget target = route::read_http_target(head.host, head.path, head.query);
  if (!target.error.empty()) return;
  demand(target.path.starts_with('/') && target.path.find("//") == std::string::npos);
  demand(target.key.text.size() <= limits::kStreamKeyBytes);
  const std::string host = route::canonical_host(head.host);
  demand(route::canonical_host(host) == host);
  const route::HttpTarget again = route::read_http_target(host, target.path, target.query);
  demand(again.error.empty() && again.text() == target.text());
  demand(again.key.text == target.key.text && again.by_query == target.by_query);
  if (!target.key.ok()) return;
  auto srs = model::srs_query(target.query);
  check_origin(target, host, srs["vhost"].empty() ? srs["domain"] : srs["vhost"], srs["app"],
               srs["stream"]);
  check_origin(target, host, model::nginx_arg(target.query, "vhost"),
               model::nginx_arg(target.query, "app"), model::nginx_arg(target.query, "stream"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = as_text({data, size});
  const std::string_view target = text.substr(0, text.find('\0'));
  const std::string_view host = text.substr(std::min(target.size() + 1, text.size()));
  std::string request = "GET ";
  request.append(target).append(" HTTP/1.1\r\nHost: ").append(host).append("\r\n\r\n");
  http::RequestParser parser;
  http::RequestHead head;
  if (parser.parse(request, head) == ParseStatus::kComplete) check(head);
  return 0;
}
