// What the load tools' main() shares: the command line, the signals that end a run, descriptors.
//
// Owner: t/90bench. One flag for the process. Errors: parse_options() says false.
#pragma once

#include <sys/prctl.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <variant>

namespace weir::load {

// SIGTERM or SIGINT came: report and leave.
inline volatile std::sig_atomic_t g_stop = 0;

// Where the value of each option goes.
using OptionTable = std::map<std::string_view, std::variant<std::string*, double*, int*>>;

// `MODE --name value ...`. False: not that, or a name that the table does not have.
inline bool parse_options(int argc, char** argv, std::string& mode, const OptionTable& table) {
  if (argc < 2 || argc % 2 != 0) return false;
  mode = argv[1];
  for (int i = 2; i + 1 < argc; i += 2) {
    const auto found = table.find(argv[i]);
    if (found == table.end()) return false;
    const char* value = argv[i + 1];
    if (auto* const* text = std::get_if<std::string*>(&found->second)) **text = value;
    if (auto* const* real = std::get_if<double*>(&found->second)) **real = std::atof(value);
    if (auto* const* integer = std::get_if<int*>(&found->second)) **integer = std::atoi(value);
  }
  return true;
}

inline void prepare_process() {
  struct sigaction action {};
  action.sa_handler = [](int) { g_stop = 1; };
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL
  rlimit files{.rlim_cur = 262144, .rlim_max = 262144};
  if (setrlimit(RLIMIT_NOFILE, &files) != 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
}

// For tools that a benchmark starts: an origin that is left behind would send for ever.
inline void end_with_parent() {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
}

}  // namespace weir::load
