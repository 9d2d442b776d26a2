// A trickle-ice-sdpfrag: the same promises as for a session description.
#include <cstdlib>

#include "t/00unit/proto_sdp_support.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  sdp::test::check_rewrite(sdp::parse_fragment, sdp::rewrite_fragment, as_text({data, size}));
  std::string concealed;
  if (sdp::conceal_fragment(as_text({data, size}), concealed) == sdp::SdpStatus::kOk &&
      concealed.find("a=candidate:") == 0) {
    std::abort();
  }
  return 0;
}
