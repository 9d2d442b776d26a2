// Any bytes as a chunked body, whole and byte by byte: the same payload, end and error.
#include <cstdlib>
#include <string>

#include "common/proto/http/chunked.h"

using namespace weir;

static std::string decode(ByteView in, std::size_t step, http::ChunkedDecoder& decoder) {
  std::string out;
  std::size_t left = in.size();
  for (ParseStatus status = ParseStatus::kNeedMore; left > 0 && !decoder.done();) {
    ByteView piece = in.last(left).first(std::min(step, left)), data;
    left -= piece.size();
    do {
      status = decoder.next(piece, data);
      out.append(as_text(data));
    } while (status == ParseStatus::kComplete && !decoder.done());
    left += piece.size();
    if (status == ParseStatus::kInvalid) break;
  }
  return decoder.error() == http::ChunkedError::kNone ? out + '#' + std::to_string(left) : out;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  http::ChunkedDecoder whole, bytes;
  if (decode({data, size}, SIZE_MAX, whole) != decode({data, size}, 1, bytes)) std::abort();
  if (whole.error() != bytes.error() || whole.done() != bytes.done()) std::abort();
  return 0;
}
