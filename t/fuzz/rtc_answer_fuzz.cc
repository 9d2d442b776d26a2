// Offer and answer, separated by NUL: what is recorded has all its parts, and none of the origin's
// candidates is left.
#include <cstdlib>

#include "common/base/bytes.h"
#include "workers/http/rtc_answer_session.h"

using namespace weir;
using namespace weir::http;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = as_text({data, size});
  const std::string_view offer = text.substr(0, text.find('\0'));
  const std::string_view answer = text.substr(std::min(offer.size() + 1, text.size()));
  RtcAddresses addresses;
  addresses.origin_api = parse_listen("10.0.0.5:1985").value();
  for (const auto& made :
       {read_answer(offer, answer, addresses), read_restart(offer, answer, addresses),
        read_counter_offer(answer, addresses)}) {
    if (!made) continue;
    if (made->sdp.find("\na=candidate:") != std::string::npos) std::abort();
    for (const RtcFlow& flow : made->flows) {
      if (flow.username.find(':') == std::string::npos || flow.password.empty()) std::abort();
    }
  }
  if (check_offer(offer).empty() && offered_ufrag(offer).size() > 256) std::abort();
  (void)is_fragment(answer);
  (void)wanted_address(answer, 1);
  return 0;
}
