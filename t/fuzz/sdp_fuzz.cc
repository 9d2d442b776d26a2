// A session description: a rewrite leaks no candidate, keeps every other line and is idempotent.
#include "t/00unit/proto_sdp_support.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  sdp::test::check_rewrite(sdp::parse_description, sdp::rewrite_description, as_text({data, size}));
  return 0;
}
