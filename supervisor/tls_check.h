// Whether the certificates of a configuration can serve, before anything depends on them.
#pragma once

#include "common/config/config.h"

namespace weir {

// Adds what is wrong with certificates and ciphers to the faults, and certificates that have ended
// to the warnings. Does nothing when there are faults already.
void check_tls(LoadOutcome& loaded);

}  // namespace weir
