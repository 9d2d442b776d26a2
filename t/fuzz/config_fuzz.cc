// The configuration text: whatever it holds, it gives faults with places or a config that prints
// and loads again to itself.
#include <cstdlib>

#include "common/base/bytes.h"
#include "common/config/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const weir::Environment none;
  const std::string_view text = weir::as_text({data, size});
  if (text.find("include") != std::string_view::npos) return 0;  // no files of this machine
  const weir::LoadOutcome first = weir::load_config_text("fuzz", text, none);
  if (!first.ok()) return 0;
  const weir::LoadOutcome again =
      weir::load_config_text("again", weir::print_config(first.config), none);
  if (!again.ok()) std::abort();
  return 0;
}
