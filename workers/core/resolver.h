// Resolver: the addresses of host names, followed for as long as somebody watches, without ever
// blocking: c-ares on the worker's event loop, over UDP and TCP. /etc/hosts counts too. Owner: a
// worker; must die before the event base and after its watches.
//
// A watched name is asked for again when its TTL ends, and soon after a failure; what is known
// meanwhile goes on counting (NameRecord). Nothing is asked while nobody watches: a worker without
// names has no socket here.
//
// Bounds: limits::kResolverNames names, kResolverAddresses addresses each, kResolverQueries queries
// at once (the others wait). Addresses that no host can have are left out of answers.
#pragma once

#include <ares.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/log_budget.h"
#include "common/config/config.h"
#include "ipc/counters.h"
#include "workers/core/event_ptr.h"
#include "workers/core/name_record.h"

namespace weir {

class Resolver {
 public:
  using OnChange = std::function<void()>;

  // One who wants to know the addresses of a name, until it is destroyed.
  class Watch {
   public:
    Watch() = default;
    Watch(Watch&& other) noexcept { *this = std::move(other); }
    Watch& operator=(Watch&& other) noexcept;
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch();

    explicit operator bool() const { return resolver_ != nullptr; }
    // REQUIRES of all below: not empty.
    std::string_view name() const;
    // The best address first; port 0. Valid until the event loop turns. Empty: see fault().
    const std::vector<Endpoint>& addresses() const;
    NameFault fault() const;
    const NameRecord& record() const;
    // No address, and waiting for one is in vain: the name is said not to be there.
    bool absent() const;

   private:
    friend class Resolver;
    struct Entry;
    Resolver* resolver_ = nullptr;
    Entry* entry_ = nullptr;
    std::uint64_t id_ = 0;
  };

  Resolver(event_base* base, const Config& config, ipc::Counters& counters);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // `name`: a host name, or a numeric address, which is known at once. `on_change` is called from
  // the event loop when addresses or absence have changed. An empty Watch: too many names.
  Watch watch(std::string_view name, OnChange on_change);

 private:
  using Entry = Watch::Entry;
  struct Query;
  struct Socket;
  struct FileStamp {
    std::int64_t inode = 0, size = 0, seconds = 0, nanoseconds = 0;
    friend bool operator==(const FileStamp&, const FileStamp&) = default;
  };

  void forget(const Watch& watch);
  bool open_channel();
  void close_channel();
  void follow_system_file();
  static FileStamp system_file();
  void start_queries(std::uint64_t now_ms);
  void ask(Entry& entry, std::size_t family);
  void on_answer(const Query& query, int status, const ares_addrinfo* answer);
  void log_failure(Entry& entry, NameFault fault);
  void log_change(const Entry& entry, std::size_t left_out);
  void on_socket(ares_socket_t fd, bool readable, bool writable);
  void on_ready(ares_socket_t fd, short what);
  void on_timer();
  void tell();
  void arm_timer();

  event_base* base_;
  const Config& config_;
  ipc::Counters& counters_;
  NameSettings settings_;
  ares_channel channel_ = nullptr;
  FileStamp system_file_;  // of /etc/resolv.conf, when the channel was made
  std::uint64_t file_checked_ms_ = 0;
  std::map<std::string, std::unique_ptr<Entry>, std::less<>> entries_;
  std::unordered_map<ares_socket_t, std::unique_ptr<Socket>> sockets_;
  EventPtr timer_;
  std::size_t asking_ = 0;
  std::uint64_t last_id_ = 0;
  bool changed_ = false;  // of some entry, and not told yet
  LogBudget log_budget_;
};

}  // namespace weir
