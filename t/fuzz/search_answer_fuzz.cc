// Any bytes as an origin's answer to a search, whole and byte by byte: the same word of it, and
// never more kept than a head may have. The first byte chooses what was asked for.
#include <cstdlib>

#include "workers/http/search_answer_session.h"

using namespace weir;
using route::SearchWord;

static constexpr std::size_t kKeptMax = 64 * 1024 + 1;

static SearchWord read(http::StreamKind kind, http::Method method, ByteView in, std::size_t step) {
  http::SearchAnswer answer(kind, method);
  SearchWord word = SearchWord::kSilent;
  while (!in.empty() && word == SearchWord::kSilent) {
    const ByteView piece = in.first(std::min(step, in.size()));
    in = in.subspan(piece.size());
    word = answer.take(piece);
  }
  if (word == SearchWord::kSilent) word = answer.end(true);
  if (word == SearchWord::kSilent) std::abort();
  if (step == 1 && answer.bytes().size() > kKeptMax) std::abort();
  return word;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto kind = static_cast<http::StreamKind>(data[0] & 3U);
  const auto method = (data[0] & 4U) != 0 ? http::Method::kHead : http::Method::kGet;
  const ByteView answer(data + 1, size - 1);
  if (read(kind, method, answer, SIZE_MAX) != read(kind, method, answer, 1)) std::abort();
  return 0;
}
