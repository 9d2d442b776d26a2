// `certificate NAME { file ...; key ...; }` blocks: certificates of the TLS listeners. The files
// are read here, while the master may read them; what is in them is looked at by
// common/net/tls_server. Internal to common/config and its tests.
#pragma once

#include <span>
#include <string>

#include "common/config/config.h"
#include "common/config/origin.h"
#include "common/config/syntax.h"

namespace weir::config {

std::span<const OriginRow> certificate_rows();

// Reads one block and its files. Faults are added to the list; what could be read comes back.
CertificateConfig read_certificate(const Statement& block, const Document& document,
                                   FaultList& faults);
// The block in the file's syntax; what is in the files stays unseen.
std::string print_certificate(const CertificateConfig& certificate);

}  // namespace weir::config
