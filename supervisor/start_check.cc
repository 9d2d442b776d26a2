#include "supervisor/start_check.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <utility>

#include "supervisor/listeners.h"
#include "supervisor/runtime_path.h"
#include "supervisor/worker_process.h"

namespace weir {
namespace {

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// "" when a file could be opened there for writing, and made if need be; else why not.
std::string why_not_writable(const std::string& path) {
  struct stat there {};
  if (::stat(path.c_str(), &there) == 0) {
    if (S_ISDIR(there.st_mode)) return path + " is a folder";
    if (::faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) == 0) return "";
    return "cannot write " + path + ": " + std::strerror(errno);
  }
  const std::string folder = parent_of(path);
  if (::faccessat(AT_FDCWD, folder.c_str(), W_OK | X_OK, AT_EACCESS) == 0) return "";
  return "cannot make " + path + ": " + folder + ": " + std::strerror(errno);
}

void check_files(const Config& config, StartCheck& out) {
  const auto must = [&out](const char* option, const std::string& path) {
    if (const auto why = why_not_writable(path); !why.empty()) {
      out.faults.push_back(std::string(option) + ": " + why);
    }
  };
  const auto should = [&out](const char* option, const std::string& path) {
    if (path.empty() || is_in_runtime_folder(path)) return;  // that folder is made
    if (const auto why = why_not_writable(path); !why.empty()) {
      out.warnings.push_back(std::string(option) + ": " + why + "; Weir goes on without it");
    }
  };
  if (config.log.target == "file") must("log.file", config.log.file);
  if (config.access_log.target == "file") must("access_log.file", config.access_log.file);
  const bool own_choice = config.pid_file != Config{}.pid_file;
  if (!config.pid_file.empty() && (own_choice || ::geteuid() == 0) &&
      !is_in_runtime_folder(config.pid_file)) {
    must("pid_file", config.pid_file);
  }
  should("session_file", runtime_path(config.session_file, "sessions"));
  should("control.socket", runtime_path(config.control.socket, "ctl.sock"));
}

// The sockets of a process, by inode; empty when this user may not look.
std::set<std::string> sockets_of(pid_t pid) {
  std::set<std::string> inodes;
  const std::string folder = "/proc/" + std::to_string(pid) + "/fd";
  const std::unique_ptr<DIR, int (*)(DIR*)> list(::opendir(folder.c_str()), &::closedir);
  if (!list) return inodes;
  while (const dirent* entry = ::readdir(list.get())) {
    char target[64];
    const std::string link = folder + "/" + entry->d_name;
    const ssize_t n = ::readlink(link.c_str(), target, sizeof target);
    const std::string_view text(target, n > 0 ? static_cast<std::size_t>(n) : 0);
    constexpr std::string_view kSocket = "socket:[";
    if (text.starts_with(kSocket)) {
      inodes.emplace(text.substr(kSocket.size(), text.size() - kSocket.size() - 1));
    }
  }
  return inodes;
}

// proc(5): the second word of a row is the local address and its port in hexadecimal, the tenth the
// inode.
bool has_port(const char* table, std::uint16_t port, const std::set<std::string>& inodes) {
  std::ifstream file(table);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string word[10];
    for (std::string& each : word) words >> each;
    const std::size_t colon = word[1].rfind(':');
    if (colon == std::string::npos || !inodes.contains(word[9])) continue;
    if (std::strtoul(word[1].c_str() + colon + 1, nullptr, 16) == port) return true;
  }
  return false;
}

bool is_held_by(const std::set<std::string>& inodes, const Endpoint& address, Transport transport) {
  const bool tcp = transport == Transport::kTcp;
  return has_port(tcp ? "/proc/net/tcp" : "/proc/net/udp", address.port, inodes) ||
         has_port(tcp ? "/proc/net/tcp6" : "/proc/net/udp6", address.port, inodes);
}

void check_address(std::string_view kind, const Endpoint& address, Transport transport,
                   const std::set<std::string>& held, StartCheck& out) {
  const auto free = check_free(address, transport);
  if (free) return;
  const int error = free.error().sys_errno;
  if (error == EADDRINUSE && is_held_by(held, address, transport)) return;
  const std::string text = std::string(kind) + ": " + free.error().text;
  const bool for_others = error == EACCES && ::geteuid() != 0;
  (for_others ? out.warnings : out.faults).push_back(text);
}

}  // namespace

StartCheck check_start(const Config& config, std::span<const WorkerKindRow> kinds, unsigned cores,
                       pid_t running) {
  StartCheck out;
  if (const auto user = find_worker_user(config); !user) {
    out.faults.push_back("user: " + user.error().text);
  }
  check_files(config, out);
  const auto held = running > 0 ? sockets_of(running) : std::set<std::string>();
  for (const WorkerKindRow& row : kinds) {
    if (row.slots(config, cores) == 0) continue;
    const std::string_view kind = ipc::to_string(row.kind);
    for (const Endpoint& each : row.listens(config)) {
      check_address(kind, each, Transport::kTcp, held, out);
    }
    if (row.udp_listens == nullptr) continue;
    for (const Endpoint& each : row.udp_listens(config)) {
      check_address(kind, each, Transport::kUdp, held, out);
    }
  }
  return out;
}

}  // namespace weir
