// `aliases { preset ...; rule ... -> ...; }` blocks: presets become the rules that they stand for.
// Internal to common/config and its tests.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "common/config/config.h"
#include "common/config/origin.h"
#include "common/config/syntax.h"

namespace weir::config {

std::span<const OriginRow> alias_rows();

// Reads one block; its rules come behind those that are there. Faults are added to the list.
void read_aliases(const Statement& block, const Document& document, FaultList& faults,
                  std::vector<AliasConfig>& rules);
// All rules as one block in the file's syntax; nothing if there are none.
std::string print_aliases(const std::vector<AliasConfig>& rules);

}  // namespace weir::config
