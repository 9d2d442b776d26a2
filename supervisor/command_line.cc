#include "supervisor/command_line.h"

#include <csignal>
#include <string_view>

namespace weir {
namespace {

Result<void> parse_order(std::string_view word, CommandLine& line) {
  line.action = Action::kSignal;
  line.order = word;
  if (word == "reload") {
    line.signal = SIGHUP;
  } else if (word == "stop") {
    line.signal = SIGTERM;
  } else if (word == "quit") {
    line.signal = SIGQUIT;
  } else if (word == "reopen") {
    line.signal = SIGUSR1;
  } else if (word == "upgrade") {
    line.signal = SIGUSR2;
  } else if (word == "dump") {
    line.action = Action::kDump;
  } else {
    return fail("-s takes reload, stop, quit, reopen, upgrade or dump, not \"" + std::string(word) +
                "\"");
  }
  return {};
}

}  // namespace

Result<CommandLine> parse_command_line(int argc, const char* const* argv) {
  CommandLine line;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "-c" || word == "-s" || word == "-k") {
      if (i + 1 >= argc) return fail(std::string(word) + " needs a value");
      ++i;
      if (word == "-c") {
        line.config = argv[i];
      } else if (word == "-k") {
        line.action = Action::kExplain;
        line.url = argv[i];
      } else if (auto order = parse_order(argv[i], line); !order) {
        return tl::unexpected(order.error());
      }
    } else if (word == "-t") {
      if (line.action != Action::kPrintConfig) line.action = Action::kTest;
    } else if (word == "-T") {
      line.action = Action::kPrintConfig;
    } else if (word == "-v" || word == "--version") {
      line.action = Action::kVersion;
    } else if (word == "-h" || word == "--help") {
      line.action = Action::kHelp;
    } else if (word == "--print-options-md") {
      line.action = Action::kOptionsMarkdown;
    } else if (word == "--print-options-conf") {
      line.action = Action::kOptionsConf;
    } else if (word == "--print-options-man") {
      line.action = Action::kOptionsMan;
    } else {
      return fail("unknown argument \"" + std::string(word) + "\"");
    }
  }
  return line;
}

const char* usage() {
  return "usage: weir [-c FILE] [-t] [-T] [-k URL] [-s ORDER] [-v] [-h]\n"
         "  -c FILE   configuration; otherwise /etc/weir/weir.conf if present, else defaults\n"
         "  -t        check the configuration, and what else a start needs here (user, folders,\n"
         "            addresses), and leave\n"
         "  -T        check the configuration alone, and print the effective one\n"
         "  -k URL    print the stream key of an address of any protocol, the alias rule that has\n"
         "            made it, and its origin, by the running Weir or the configuration alone\n"
         "  -s reload|stop|quit|reopen|upgrade|dump\n"
         "            tell the running Weir: reload the configuration, stop at once, quit when "
         "the\n"
         "            sessions are over, reopen the log, upgrade the program in place; or dump "
         "its\n"
         "            workers, origins and streams from shared memory\n"
         "  -v        version\n"
         "  -h        this text\n"
         "  --print-options-md, --print-options-conf, --print-options-man\n"
         "            the reference page, a commented configuration, and the page of the manual, "
         "of all\n"
         "            options\n"
         "exit: 0 fine, 1 failure at run time, 2 bad configuration or usage\n";
}

}  // namespace weir
