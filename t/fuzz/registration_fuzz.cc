// Any bytes as a registration body: accepted ones must keep every promise of the message.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "common/base/utf8.h"
#include "workers/control/registration.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body = weir::as_text({data, size});
  const auto result = weir::control::parse_registration(body);
  if (!result) {
    if (result.error().field.empty() || result.error().text.empty()) std::abort();
    return 0;
  }
  for (const char* text : {result->server, result->service, result->pid}) {
    if (text[0] == '\0' || !weir::is_valid_utf8(text)) std::abort();
  }
  if (result->ip.empty() || result->endpoint_count[0] == 0) std::abort();
  for (std::size_t kind = 0; kind < weir::ipc::kEndpointKinds; ++kind) {
    if (result->endpoint_count[kind] > weir::limits::kEndpointsPerKind) std::abort();
    for (std::size_t i = 0; i < result->endpoint_count[kind]; ++i) {
      const weir::Endpoint& endpoint = result->endpoints[kind][i];
      if (endpoint.empty() || endpoint.port == 0) std::abort();
    }
  }
  return 0;
}
