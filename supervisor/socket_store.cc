#include "supervisor/socket_store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

#include "supervisor/upgrade.h"

namespace weir {
namespace {

constexpr int kFirstDescriptor = 3;  // SD_LISTEN_FDS_START
constexpr int kMaxDescriptors = 65536;

// "listen-<kind>-<inode>": what is not in the socket itself, and a number that no other one has.
constexpr std::string_view kPrefix = "listen-";

std::string name_of(const ListenSocket& socket) {
  struct stat info {};
  if (::fstat(socket.fd.get(), &info) != 0) return "";
  return std::string(kPrefix) + std::to_string(static_cast<unsigned>(socket.kind)) + "-" +
         std::to_string(info.st_ino);
}

std::optional<unsigned> kind_in(std::string_view name) {
  unsigned kind = 0;
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  const auto [at, error] = std::from_chars(name.data(), name.data() + name.size(), kind);
  if (error != std::errc() || at == name.data() + name.size() || *at != '-') return std::nullopt;
  return kind;
}

long number_in(const char* variable) {
  const char* value = std::getenv(variable);
  long number = 0;
  if (value == nullptr) return 0;
  const std::string_view text = value;
  std::from_chars(text.data(), text.data() + text.size(), number);
  ::unsetenv(variable);
  return number;
}

}  // namespace

// Whatever else systemd passes (socket units) is not ours to use and is closed.
ListenSockets SocketStore::take() {
  ListenSockets sockets;
  const char* list = std::getenv("LISTEN_FDNAMES");
  const std::string all = list != nullptr ? list : "";
  ::unsetenv("LISTEN_FDNAMES");
  const bool ours = number_in("LISTEN_PID") == ::getpid();
  const long count = number_in("LISTEN_FDS");
  if (!ours || count <= 0 || count > kMaxDescriptors) return sockets;
  std::string_view names = all;
  for (int fd = kFirstDescriptor; fd < kFirstDescriptor + static_cast<int>(count); ++fd) {
    const std::string_view name = names.substr(0, names.find(':'));
    names.remove_prefix(std::min(names.size(), name.size() + 1));
    UniqueFd owned(fd);
    if (!kind_in(name)) continue;
    names_.emplace(name);
    if (auto socket = adopt_listener(std::move(owned), *kind_in(name))) {
      sockets.push_back(std::move(socket));
    }
  }
  return sockets;
}

void SocketStore::expect(const ListenSockets& sockets) {
  for (const SharedListenSocket& socket : sockets) names_.insert(name_of(*socket));
}

void SocketStore::keep(const ListenSockets& sockets, const Notifier& notifier) {
  std::set<std::string> wanted;
  for (const SharedListenSocket& socket : sockets) {
    const std::string name = name_of(*socket);
    wanted.insert(name);
    if (!names_.contains(name)) notifier.store(name, socket->fd.get());
  }
  for (const std::string& name : names_) {
    if (!wanted.contains(name)) notifier.forget(name);
  }
  names_ = std::move(wanted);
}

}  // namespace weir
