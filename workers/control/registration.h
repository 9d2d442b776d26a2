// A registration's JSON body as the typed message for the master. Pure: text in, message or error
// out; every limit is checked before anything is kept. Contract: docs/API.md (the same fields as
// the SRS proxy's registration API).
#pragma once

#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include "ipc/messages.h"

namespace weir::control {

// Why a body was refused. `field` is a name such as "rtmp" or "http[2]", or "body" for the whole.
struct RegistrationError {
  std::string field;
  std::string text;
};

tl::expected<ipc::OriginRegister, RegistrationError> parse_registration(std::string_view body);

}  // namespace weir::control
