// A stream id: what was accepted has a stream, and a key that comes of it is sound.
#include <cstdlib>

#include "common/base/bytes.h"
#include "common/base/limits.h"
#include "common/route/srt_key.h"

using namespace weir;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  srt::StreamId id;
  const std::string_view text = as_text({data, size});
  if (srt::parse_stream_id(text, {"d/e"}, id) != srt::StreamIdError::kNone) return 0;
  if (text.size() > limits::kSrtStreamIdBytes || id.rest.size() > text.size()) std::abort();
  const route::StreamKey key = route::from_srt(id);
  if (key.ok() == key.text.empty() || key.text.size() > limits::kStreamKeyBytes) std::abort();
  if (!key.ok()) return 0;
  if (key.stream().empty() || key.app().empty() || key.vhost().empty()) std::abort();
  if (key.stream().find('/') != std::string_view::npos) std::abort();
  return 0;
}
