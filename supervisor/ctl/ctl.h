// weirctl: the operators' tool. The same binary under another name (docs/API.md, "The control
// socket"): it asks a running instance over its control socket and prints the answers as tables for
// people, with -j as JSON for scripts. It needs no configuration, so a broken one does not stop it.
#pragma once

#include <string>
#include <string_view>

namespace weir::ctl {

// Exit codes.
inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;  // or refused
inline constexpr int kBadUsage = 2;
inline constexpr int kNoInstance = 3;

// Whether a program that was called so is weirctl.
bool is_weirctl(std::string_view argv0);
int run_weirctl(int argc, const char* const* argv);
// What -h prints.
std::string usage();

// For `weir -s`: gives the order ("reload", "quit", ...) to the instance at the socket.
int give_order(const std::string& socket, std::string_view order);
// The pid of the master that answers at the socket; 0: none does.
int master_pid(const std::string& socket);

}  // namespace weir::ctl
