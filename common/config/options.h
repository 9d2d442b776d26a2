// The option table as data: one row for each OPTION of options.def, with functions that set, print,
// compare and copy the member behind it. Internal to common/config and its tests.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/config/config.h"

namespace weir::config {

enum class OptionType : std::uint8_t {
  Flag,
  Int,
  Size,
  Duration,
  Text,
  Secret,
  Networks,
  Access,
  Hosts,
  Enum,
  Listen
};
enum class ReloadClass : std::uint8_t { kReload, kRestart };

struct OptionRow {
  std::string_view section;  // "" for the top level
  std::string_view name;
  OptionType type;
  std::string_view initial;
  std::int64_t min;
  std::int64_t max;
  std::string_view words;  // of an Enum
  std::string_view unit;
  ReloadClass reload;
  std::string_view env;
  std::string_view doc;
  // Parses and checks the range; on an error the member stays as it was.
  Result<void> (*set)(Config& config, const OptionRow& row, std::string_view text);
  std::string (*get)(const Config& config);  // canonical text, not quoted
  bool (*same)(const Config& a, const Config& b);
  void (*copy)(const Config& from, Config& to);

  std::string path() const;  // "rtmp.listen", "pid_file"
};

struct SectionRow {
  std::string_view name;
  std::string_view doc;
};

std::span<const OptionRow> option_rows();
std::span<const SectionRow> section_rows();  // without the top level
const OptionRow* find_option(std::string_view section, std::string_view name);
bool is_section(std::string_view name);

// The range as a person reads it: "1 to 64", "0 to 1s", "text|json"; "" when there is none.
std::string range_text(const OptionRow& row);
std::string_view type_text(OptionType type);

}  // namespace weir::config
