// Any bytes as a small response, whole and byte by byte: the same head, body and error, within its
// bounds.
#include <cstdlib>
#include <string>

#include "common/proto/http/collected_response.h"

using namespace weir;

static constexpr std::size_t kBodyMax = 64;

static std::string collect(ByteView in, std::size_t step) {
  http::CollectedResponse response(http::Method::kGet, kBodyMax);
  ParseStatus status = ParseStatus::kNeedMore;
  while (!in.empty() && status == ParseStatus::kNeedMore) {
    const ByteView piece = in.first(std::min(step, in.size()));
    in = in.subspan(piece.size());
    status = response.feed(piece);
  }
  if (status == ParseStatus::kNeedMore) status = response.on_close();
  if (response.body().size() > kBodyMax) std::abort();
  if (status == ParseStatus::kInvalid) {
    return std::string(response.error()) + ' ' + std::string(response.detail());
  }
  return std::to_string(response.head().status) + ' ' + response.body();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (collect({data, size}, SIZE_MAX) != collect({data, size}, 1)) std::abort();
  return 0;
}
