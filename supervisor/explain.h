// `weir -k URL`: the stream key of an address of any protocol, the rule that has given it, and the
// origin that a player of it goes to, by a configuration alone or by the running Weir's shared
// memory. Reads only. Errors: the address names no stream, or is of no protocol that Weir serves.
#pragma once

#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/config/config.h"
#include "ipc/route_reader.h"

namespace weir {

struct Explained {
  std::string text;    // lines `name      what`
  bool found = false;  // an origin is named, or policy has some to pick from
};
// `state`: null: there is no running Weir.
Result<Explained> explain_url(std::string_view url, const Config& config,
                              const ipc::StateView* state);

}  // namespace weir
