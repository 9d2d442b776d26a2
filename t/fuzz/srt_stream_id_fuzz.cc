// A stream id: what was accepted has a stream, a key that comes of it is sound, and what goes on to
// the origin is understood in the same way by who reads it next.
#include <cstdlib>

#include "common/base/bytes.h"
#include "common/base/limits.h"
#include "common/route/srt_key.h"

using namespace weir;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  srt::StreamId id;
  const std::string_view text = as_text({data, size});
  if (srt::parse_stream_id(text, {"d/e"}, id) != srt::StreamIdError::kNone) return 0;
  if (id.rest.size() > limits::kSrtStreamIdBytes) std::abort();
  const route::StreamKey key = route::from_srt(id);
  if (key.ok() == key.text.empty() || key.text.size() > limits::kStreamKeyBytes) std::abort();
  if (!key.ok()) return 0;
  if (key.stream().empty() || key.app().empty() || key.vhost().empty()) std::abort();
  if (key.stream().find('/') != std::string_view::npos) std::abort();
  std::string sent;
  if (id.mode == srt::Mode::kUnknown ||
      route::origin_stream_id(key, id, sent) != srt::StreamIdError::kNone) {
    return 0;
  }
  srt::StreamId next;
  if (sent.size() > limits::kSrtStreamIdBytes) std::abort();
  if (srt::parse_stream_id(sent, {}, next) != srt::StreamIdError::kNone) std::abort();
  if (next.mode != id.mode || route::from_srt(next).text != key.text) std::abort();
  std::string again;
  if (route::origin_stream_id(route::from_srt(next), next, again) != srt::StreamIdError::kNone ||
      again != sent) {
    std::abort();
  }
  return 0;
}
