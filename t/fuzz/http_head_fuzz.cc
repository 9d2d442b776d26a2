// Any bytes as a request, whole and byte by byte, and as a response; requests are written again.
#include <cstdlib>

#include "common/proto/http/head_writer.h"

using namespace weir;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view in = as_text({data, size});
  http::RequestHead whole, piece, again;
  http::ResponseHead response;
  const ParseStatus status = http::RequestParser().parse(in, whole);
  http::RequestParser bytewise;
  ParseStatus now = ParseStatus::kNeedMore;
  for (std::size_t n = 0; n <= size && now == ParseStatus::kNeedMore; ++n) {
    now = bytewise.parse(in.substr(0, n), piece);
  }
  if (now != status || piece.consumed != whole.consumed) std::abort();
  http::ResponseParser().parse(in, http::Method::kGet, response);
  if (status != ParseStatus::kComplete) return 0;
  std::string out, target;
  whole.append_target(target);
  http::HeadWriter writer(out);
  writer.request(whole.method_text, target).field(http::HeaderId::kHost, whole.host);
  writer.copy_end_to_end(whole.fields, {http::HeaderId::kHost}).body(whole.body);
  if (!writer.finish() || out.size() > size + 256) std::abort();
  if (http::RequestParser({65536, 8192, 200}).parse(out, again) != status) std::abort();
  if (again.path != whole.path || again.body.framing != whole.body.framing) std::abort();
  return 0;
}
