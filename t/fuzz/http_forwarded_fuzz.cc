// A letter and a value a line, as fields of a trusted peer: what goes on is sound and bounded.
#include <cstdlib>

#include "common/base/bytes.h"
#include "common/proto/http/forwarded.h"
#include "common/proto/http/head_writer.h"

using namespace weir;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using enum http::HeaderId;
  static const http::HeaderId kIds[] = {kXForwardedFor,   kXForwardedHost, kXForwardedPort,
                                        kXForwardedProto, kXRealIp,        kForwarded};
  static const NetworkList trusted = *parse_networks("10.0.0.0/8 fd00::/8");
  http::Fields fields;
  std::string_view text = as_text({data, size});
  while (!text.empty() && fields.size() < 50) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.size() < 2 || !http::is_field_value(line)) continue;
    fields.add(http::header_name(kIds[static_cast<unsigned char>(line[0]) % 6]), line.substr(1));
  }
  const auto identity = identify_client({*parse_ip("10.0.0.1"), false, "h"}, fields, trusted);
  std::string out;
  http::HeadWriter writer(out);
  http::write_forwarding(writer.request("GET", "/"), identity);
  if (!writer.finish() || identity.client.empty() || identity.chain.size() > 2000) std::abort();
  if (http::parse_node(identity.chain.substr(0, identity.chain.find(','))).empty()) std::abort();
  return 0;
}
