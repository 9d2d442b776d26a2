#include "supervisor/ctl/left_over.h"

#include <sys/types.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/base/clock.h"

namespace weir::ctl {
namespace {

constexpr std::uint64_t kTermMs = 5000;
constexpr std::uint64_t kKillMs = 2000;
constexpr std::uint64_t kPollMs = 20;

bool is_group(const std::string& folder) {
  return ::access((folder + "/cgroup.procs").c_str(), R_OK) == 0;
}

// Our control group's folder: of the unified hierarchy, or of systemd's own one beside it. Both may
// be named where only one is in use (a container of another hierarchy than the host's); the unit's
// is the one that is there.
std::string own_group() {
  std::ifstream file("/proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {
    const std::size_t colon = line.find(':', line.find(':') + 1);
    if (colon == std::string::npos) continue;
    const std::string path = line.substr(colon + 1);
    // Never anything but a unit's own group.
    if (path.find(".service") == std::string::npos) continue;
    if (line.starts_with("0::") && is_group("/sys/fs/cgroup" + path))
      return "/sys/fs/cgroup" + path;
    if (line.starts_with("0::") && is_group("/sys/fs/cgroup/unified" + path)) {
      return "/sys/fs/cgroup/unified" + path;
    }
    if (line.find(":name=systemd:") != std::string::npos) return "/sys/fs/cgroup/systemd" + path;
  }
  return "";
}

std::vector<pid_t> others_in(const std::string& group) {
  std::vector<pid_t> pids;
  std::ifstream file(group + "/cgroup.procs");
  pid_t pid = 0;
  while (file >> pid) {
    if (pid != ::getpid()) pids.push_back(pid);
  }
  return pids;
}

// Whether none is left by then.
bool signal_and_wait(const std::string& group, int number, std::uint64_t wait_ms) {
  for (const pid_t pid : others_in(group)) ::kill(pid, number);
  const std::uint64_t until = monotonic_ms() + wait_ms;
  while (!others_in(group).empty()) {
    if (monotonic_ms() >= until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(kPollMs));
  }
  return true;
}

}  // namespace

bool end_left_over_processes() {
  const char* value = std::getenv("SERVICE_RESULT");
  const std::string_view result = value != nullptr ? value : "";
  if (result != "success" && result != "timeout") return true;
  const std::string group = own_group();
  if (group.empty()) return false;
  return signal_and_wait(group, SIGTERM, kTermMs) || signal_and_wait(group, SIGKILL, kKillMs);
}

}  // namespace weir::ctl
