// Origins that stand in the configuration: `origin NAME { ... }` and `origins_from NAME:PORT { ...
// }` blocks, and the default backend. Internal to common/config and its tests.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "common/config/config.h"
#include "common/config/syntax.h"

namespace weir::config {

struct OriginRow {
  std::string_view name;
  std::string_view type;
  std::string_view initial;
  std::string_view example;
  std::string_view range;
  std::string_view doc;
};
std::span<const OriginRow> origin_rows();
std::span<const OriginRow> origins_from_rows();
// The text of that fault, with the nearest name of those.
std::string unknown_option(std::string_view name, std::span<const OriginRow> rows);

// Reads one block. Its faults are added to the list; what could be read comes back.
OriginConfig read_origin(const Statement& block, const Document& document, FaultList& faults);
OriginsFromConfig read_origins_from(const Statement& block, const Document& document,
                                    FaultList& faults);
// Names the pairs that cannot stand together: same name, same RTMP endpoint.
// REQUIRES: blocks[i] is the statement of origins[i].
void check_origin_clashes(std::span<const OriginConfig> origins,
                          std::span<const Statement* const> blocks, const Document& document,
                          FaultList& faults);
// The same of blocks that take their origins from names: same name and port, same names of origins.
void check_origins_from_clashes(std::span<const OriginsFromConfig> sets,
                                std::span<const Statement* const> blocks, const Document& document,
                                FaultList& faults);
// The block in the file's syntax.
std::string print_origin(const OriginConfig& origin);
std::string print_origins_from(const OriginsFromConfig& set);

}  // namespace weir::config
