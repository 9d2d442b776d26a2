// A session description: a rewrite leaks no candidate, keeps every other line and is idempotent.
// What conceals a client leaves no candidate of it.
#include <cstdlib>

#include "t/00unit/proto_sdp_support.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  sdp::test::check_rewrite(sdp::parse_description, sdp::rewrite_description, as_text({data, size}));
  const Endpoint stand_in = parse_listen("192.0.2.7:9").value();
  std::string once;
  std::string twice;
  if (sdp::conceal_description(as_text({data, size}), stand_in, once) != sdp::SdpStatus::kOk) {
    return 0;
  }
  sdp::Description parsed;
  if (sdp::parse_description(once, parsed) != sdp::SdpStatus::kOk || !parsed.candidates.empty() ||
      sdp::conceal_description(once, stand_in, twice) != sdp::SdpStatus::kOk || once != twice) {
    std::abort();
  }
  for (const sdp::Media& media : parsed.media) {
    if (media.candidates.size() > 1 || media.port > 9) std::abort();
    if (!media.candidates.empty() && media.candidates[0].address != "192.0.2.7") std::abort();
  }
  return 0;
}
