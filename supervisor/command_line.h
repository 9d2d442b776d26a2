// The command line (DESIGN section 1). Pure.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/result.h"

namespace weir {

enum class Action : std::uint8_t {
  kServe,
  kTest,
  kPrintConfig,
  kSignal,
  kDump,
  kExplain,
  kVersion,
  kHelp,
  kOptionsMarkdown,
  kOptionsConf,
  kOptionsMan
};

struct CommandLine {
  Action action = Action::kServe;
  std::string config;  // -c; empty: not given
  int signal = 0;      // kSignal, and what it is called
  std::string order;
  std::string url;  // kExplain
};

// An error's text is what to tell the user; the exit code is then 2.
Result<CommandLine> parse_command_line(int argc, const char* const* argv);
const char* usage();

}  // namespace weir
