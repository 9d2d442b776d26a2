// What the load tools measure with: clock, histogram of times, CPU time of processes, addresses.
//
// Owner: t/90bench. Values only; errors: a process that is gone counts as no CPU time.
#pragma once

#include <arpa/inet.h>
#include <dirent.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

namespace weir::load {

inline constexpr std::int64_t kSecond = 1'000'000'000;

inline std::int64_t now_ns() {
  timespec at{};
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * kSecond + at.tv_nsec;
}

// Times in buckets of ~1.6 %: 64 a power of two.
class Histogram {
 public:
  void add(std::int64_t ns) {
    const auto value = static_cast<std::uint64_t>(std::max<std::int64_t>(ns, 0));
    const int top = static_cast<int>(std::bit_width(value | 63U)) - 6;
    const auto at = static_cast<std::size_t>(top) * 64 + ((value >> top) & 63U);
    ++counts_[std::min(at, counts_.size() - 1)];
    ++total_;
    max_ = std::max(max_, value);
  }
  std::string json() const {
    char out[128];
    std::snprintf(out, sizeof out, "{\"n\":%llu,\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f}",
                  static_cast<unsigned long long>(total_), percentile_ms(0.50), percentile_ms(0.99),
                  static_cast<double>(max_) / 1e6);
    return out;
  }

  double percentile_ms(double part) const {
    const auto want = static_cast<std::uint64_t>(part * static_cast<double>(total_));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen > want || (seen == total_ && total_ > 0))
        return static_cast<double>((i % 64) << (i / 64)) / 1e6;
    }
    return 0;
  }

 private:
  std::vector<std::uint64_t> counts_ = std::vector<std::uint64_t>(64 * 48);
  std::uint64_t total_ = 0, max_ = 0;
};

// CPU time of processes in seconds, all their threads, from the scheduler's own nanosecond count.
inline double cpu_seconds(const std::string& pids) {
  double sum = 0;
  for (std::size_t at = 0; at < pids.size();) {
    const std::size_t end = std::min(pids.find(',', at), pids.size());
    const std::string task = "/proc/" + pids.substr(at, end - at) + "/task";
    if (DIR* dir = opendir(task.c_str()); dir != nullptr) {
      while (const dirent* entry = readdir(dir)) {
        if (entry->d_name[0] == '.') continue;
        double ns = 0;
        std::ifstream(task + "/" + entry->d_name + "/schedstat") >> ns;
        sum += ns / 1e9;
      }
      closedir(dir);
    }
    at = end + 1;
  }
  return sum;
}

inline double own_cpu_seconds() {
  return cpu_seconds(std::to_string(getpid()));
}

inline sockaddr_storage parse_address(const std::string& text, socklen_t& size) {
  const std::size_t colon = text.rfind(':');
  std::string host = text.substr(0, colon);
  const auto port = static_cast<in_port_t>(std::atoi(text.c_str() + colon + 1));
  sockaddr_storage out{};
  auto* v4 = reinterpret_cast<sockaddr_in*>(&out);  // the socket API's own idiom
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&out);
  if (host.size() > 2 && host[0] == '[') host = host.substr(1, host.size() - 2);
  if (inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    size = sizeof *v4;
  } else {
    inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    size = sizeof *v6;
  }
  return out;
}

}  // namespace weir::load
