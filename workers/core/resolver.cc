#include "workers/core/resolver.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <set>
#include <utility>

#include "common/base/clock.h"
#include "common/base/host_name.h"
#include "common/base/limits.h"
#include "common/base/log.h"

namespace weir {
namespace {

using ipc::Counter;

constexpr const char* kSystemFile = "/etc/resolv.conf";
constexpr std::uint64_t kFileCheckMs = 1000;
constexpr std::uint64_t kNoTimerMs = 60000;  // nothing is due
constexpr int kTries = 3;                    // of each name server, with doubled timeouts
constexpr std::uint32_t kLogsPerSecond = 20;
constexpr std::array<int, NameRecord::kFamilies> kFamily = {AF_INET, AF_INET6};

NameFault fault_of(int status) {
  switch (status) {
    case ARES_ENOTFOUND:
    case ARES_EBADNAME:
      return NameFault::kNotFound;
    case ARES_ENODATA:
      return NameFault::kNoData;
    case ARES_ETIMEOUT:
      return NameFault::kTimeout;
    default:
      return NameFault::kServer;
  }
}

struct Addresses {
  std::vector<Endpoint> list;
  std::size_t left_out = 0;  // beyond limits::kResolverAddresses
  std::uint64_t ttl_ms = 0;
};

// The addresses of the family that a host can have, each once, and the shortest TTL on the way to
// them. Of too many always the same ones, whatever order each answer has.
Addresses read_addresses(const ares_addrinfo& answer, int family) {
  Addresses read;
  std::vector<Endpoint>& out = read.list;
  std::set<Endpoint, EndpointLess> seen;
  int ttl = INT32_MAX;
  for (const ares_addrinfo_cname* row = answer.cnames; row != nullptr; row = row->next) {
    ttl = std::min(ttl, row->ttl);
  }
  for (const ares_addrinfo_node* row = answer.nodes; row != nullptr; row = row->ai_next) {
    if (row->ai_family != family || row->ai_addrlen > sizeof(sockaddr_storage)) continue;
    sockaddr_storage storage{};
    std::memcpy(&storage, row->ai_addr, row->ai_addrlen);
    Endpoint address = from_sockaddr(storage);
    address.port = 0;
    ttl = std::min(ttl, row->ai_ttl);
    // An IPv4 address that is mapped into an AAAA record is no address of that family.
    const bool fits =
        address.is_host() && (address.family == Family::kIpv6) == (family == AF_INET6);
    if (fits && seen.insert(address).second) out.push_back(address);
  }
  if (out.size() > limits::kResolverAddresses) {
    read.left_out = out.size() - limits::kResolverAddresses;
    out.assign(seen.begin(), std::next(seen.begin(), limits::kResolverAddresses));
  }
  read.ttl_ms = static_cast<std::uint64_t>(std::max(ttl, 0)) * 1000;
  return read;
}

}  // namespace

struct Resolver::Watch::Entry {
  Entry(std::string_view which, const NameSettings& settings, std::uint64_t now_ms)
      : name(which), record(settings, now_ms) {}
  std::string name;
  NameRecord record;
  std::uint64_t id = 0;
  bool numeric = false;
  std::array<bool, NameRecord::kFamilies> asking{};
  // The search domains' name servers failed so: the next question is about the name alone.
  std::array<NameFault, NameRecord::kFamilies> alone_after{};
  std::array<bool, NameRecord::kFamilies> alone{};  // the last answer came so
  bool changed = false;
  NameFault logged = NameFault::kNone;
  std::map<std::uint64_t, OnChange> watchers;

  // c-ares ends a search at the first domain that fails, where glibc goes on to the name itself.
  // What a search domain has answered is that domain's.
  bool is_asked_alone(std::size_t family, NameFault fault) const {
    return fault == NameFault::kServer && name.find('.') != std::string::npos &&
           !name.ends_with('.') && (alone[family] || record.addresses(family).empty());
  }
};

// Lives until c-ares calls back, which it does once in any case. Its entry may be gone by then.
struct Resolver::Query {
  Resolver* resolver;
  std::string name;
  std::uint64_t entry;
  std::size_t family;
  bool alone;
};

struct Resolver::Socket {
  Resolver* resolver;
  ares_socket_t fd;
  EventPtr event;
};

Resolver::Watch& Resolver::Watch::operator=(Watch&& other) noexcept {
  std::swap(resolver_, other.resolver_);
  std::swap(entry_, other.entry_);
  std::swap(id_, other.id_);
  return *this;
}

Resolver::Watch::~Watch() {
  if (resolver_ != nullptr) resolver_->forget(*this);
}

std::string_view Resolver::Watch::name() const {
  return entry_->name;
}

const std::vector<Endpoint>& Resolver::Watch::addresses() const {
  return entry_->record.addresses();
}

NameFault Resolver::Watch::fault() const {
  return entry_->record.fault();
}

const NameRecord& Resolver::Watch::record() const {
  return entry_->record;
}

bool Resolver::Watch::absent() const {
  return entry_->record.absent();
}

Resolver::Resolver(event_base* base, const Config& config, ipc::Counters& counters)
    : base_(base),
      config_(config),
      counters_(counters),
      settings_{config.resolver.ttl_min, std::max(config.resolver.ttl_min, config.resolver.ttl_max),
                config.resolver.stale},
      timer_(make_timer<&Resolver::on_timer>(base, this)),
      log_budget_(kLogsPerSecond) {}

Resolver::~Resolver() {
  close_channel();
}

Resolver::Watch Resolver::watch(std::string_view name, OnChange on_change) {
  Watch watch;
  auto found = entries_.find(name);
  if (found == entries_.end()) {
    if (entries_.size() >= limits::kResolverNames) {
      std::uint64_t suppressed = 0;
      if (log_budget_.take(monotonic_ms(), suppressed)) {
        LogLine(LogLevel::kError, "name is not looked up, there are too many")
            .field("name", name)
            .field("names", entries_.size());
      }
      return watch;
    }
    const std::uint64_t now = monotonic_ms();
    auto entry = std::make_unique<Entry>(name, settings_, now);
    entry->id = ++last_id_;
    if (auto ip = parse_ip(name)) {
      entry->numeric = true;
      entry->record.answered(ip->family == Family::kIpv4 ? 0 : 1, {*ip}, 0, now);
    }
    found = entries_.emplace(std::string(name), std::move(entry)).first;
    arm(timer_, 0);  // never asked from here: an answer may come at once
  }
  watch.resolver_ = this;
  watch.entry_ = found->second.get();
  watch.id_ = ++last_id_;
  watch.entry_->watchers.emplace(watch.id_, std::move(on_change));
  return watch;
}

void Resolver::forget(const Watch& watch) {
  watch.entry_->watchers.erase(watch.id_);
  if (watch.entry_->watchers.empty()) entries_.erase(entries_.find(watch.entry_->name));
}

// ---- the channel of c-ares

bool Resolver::open_channel() {
  if (channel_ != nullptr) return true;
  static const int ready = ::ares_library_init(ARES_LIB_INIT_ALL);
  ares_options options{};
  options.timeout = static_cast<int>(config_.resolver.timeout);
  options.tries = kTries;
  options.sock_state_cb = [](void* self, ares_socket_t fd, int readable, int writable) {
    static_cast<Resolver*>(self)->on_socket(fd, readable != 0, writable != 0);
  };
  options.sock_state_cb_data = this;
  system_file_ = system_file();
  int status =
      ready != ARES_SUCCESS
          ? ready
          : ::ares_init_options(&channel_, &options,
                                ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
  if (status == ARES_SUCCESS && !config_.resolver.nameservers.empty()) {
    std::string list;
    for (Endpoint server :
         parse_name_servers(config_.resolver.nameservers).value_or(std::vector<Endpoint>{})) {
      list.append(list.empty() ? "" : ",").append(to_string(server));
    }
    status = ::ares_set_servers_ports_csv(channel_, list.c_str());
  }
  if (status == ARES_SUCCESS) return true;
  std::uint64_t suppressed = 0;
  if (log_budget_.take(monotonic_ms(), suppressed)) {
    LogLine(LogLevel::kError, "names cannot be looked up").field("error", ::ares_strerror(status));
  }
  close_channel();
  return false;
}

// Queries that are under way end with ARES_EDESTRUCTION.
void Resolver::close_channel() {
  if (ares_channel channel = std::exchange(channel_, nullptr)) ::ares_destroy(channel);
  sockets_.clear();
}

Resolver::FileStamp Resolver::system_file() {
  struct stat status {};
  if (::stat(kSystemFile, &status) != 0) return {};
  return {static_cast<std::int64_t>(status.st_ino), status.st_size, status.st_mtim.tv_sec,
          status.st_mtim.tv_nsec};
}

// A new resolv.conf means other name servers: those asked so far may be out of reach.
void Resolver::follow_system_file() {
  const std::uint64_t now = monotonic_ms();
  if (channel_ == nullptr || now < file_checked_ms_ + kFileCheckMs) return;
  file_checked_ms_ = now;
  if (!(system_file() == system_file_)) close_channel();
}

void Resolver::on_socket(ares_socket_t fd, bool readable, bool writable) {
  if (!readable && !writable) {
    sockets_.erase(fd);
    return;
  }
  auto& socket = sockets_[fd];
  if (!socket) socket = std::make_unique<Socket>(Socket{this, fd, nullptr});
  const auto what = static_cast<short>((readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
  socket->event.reset(event_new(
      base_, fd, static_cast<short>(what | EV_PERSIST),
      [](evutil_socket_t, short ready, void* self) {
        const auto* mine = static_cast<Socket*>(self);
        mine->resolver->on_ready(mine->fd, ready);
      },
      socket.get()));
  // Without its event the query ends by its timeout.
  if (socket->event) event_add(socket->event.get(), nullptr);
}

void Resolver::on_ready(ares_socket_t fd, short what) {
  ::ares_process_fd(channel_, (what & EV_READ) != 0 ? fd : ARES_SOCKET_BAD,
                    (what & EV_WRITE) != 0 ? fd : ARES_SOCKET_BAD);
  arm_timer();
}

// ---- questions and answers

void Resolver::start_queries(std::uint64_t now_ms) {
  follow_system_file();
  for (auto& [name, entry] : entries_) {
    for (std::size_t family = 0; family < kFamily.size(); ++family) {
      if (entry->numeric || entry->asking[family] || entry->record.due_ms(family) > now_ms)
        continue;
      if (asking_ >= limits::kResolverQueries) return;
      ask(*entry, family);
    }
  }
}

void Resolver::ask(Entry& entry, std::size_t family) {
  if (!open_channel()) {
    entry.record.failed(family, NameFault::kServer, monotonic_ms());
    return;
  }
  entry.asking[family] = true;
  ++asking_;
  counters_.add(Counter::kNameQueries);
  ares_addrinfo_hints hints{};
  hints.ai_flags = ARES_AI_NOSORT;  // sorting would open a socket for each address
  hints.ai_family = kFamily[family];
  // Freed by the callback, which c-ares calls once, maybe from in here.
  const bool alone = entry.alone_after[family] != NameFault::kNone;
  auto* query = new Query{this, entry.name, entry.id, family, alone};
  ::ares_getaddrinfo(
      channel_, (alone ? entry.name + "." : entry.name).c_str(), nullptr, &hints,
      [](void* arg, int status, int, ares_addrinfo* answer) {
        const std::unique_ptr<Query> mine(static_cast<Query*>(arg));
        const std::unique_ptr<ares_addrinfo, decltype(&::ares_freeaddrinfo)> owner(
            answer, &::ares_freeaddrinfo);
        mine->resolver->on_answer(*mine, status, answer);
      },
      query);
}

// Called by c-ares: nothing of it may be called from here.
void Resolver::on_answer(const Query& query, int status, const ares_addrinfo* answer) {
  --asking_;
  const auto found = entries_.find(query.name);
  if (found == entries_.end() || found->second->id != query.entry) return;
  Entry& entry = *found->second;
  entry.asking[query.family] = false;
  const std::uint64_t now = monotonic_ms();
  if (status == ARES_EDESTRUCTION || status == ARES_ECANCELLED) {
    entry.record.ask_now(query.family, now);
    return;
  }
  Addresses read;
  if (status == ARES_SUCCESS && answer != nullptr) {
    read = read_addresses(*answer, kFamily[query.family]);
  }
  bool changed = false;
  const NameFault failed_before = std::exchange(entry.alone_after[query.family], NameFault::kNone);
  if (!read.list.empty()) {
    entry.alone[query.family] = query.alone;
    changed = entry.record.answered(query.family, std::move(read.list), read.ttl_ms, now);
    counters_.add(Counter::kNameAnswered);
    entry.logged = NameFault::kNone;
  } else {
    const NameFault fault = status == ARES_SUCCESS ? NameFault::kNoData : fault_of(status);
    counters_.add(fault == NameFault::kNotFound || fault == NameFault::kNoData
                      ? Counter::kNameAbsent
                  : fault == NameFault::kTimeout ? Counter::kNameTimeout
                                                 : Counter::kNameFailed);
    if (!query.alone && entry.is_asked_alone(query.family, fault)) {
      entry.alone_after[query.family] = fault;
      entry.record.ask_now(query.family, now);
      return;
    }
    changed = entry.record.failed(query.family, query.alone ? failed_before : fault, now);
    log_failure(entry, entry.record.fault());
  }
  if (!changed) return;
  if (!entry.record.addresses().empty()) log_change(entry, read.left_out);
  entry.changed = true;
  changed_ = true;
}

void Resolver::log_failure(Entry& entry, NameFault fault) {
  std::uint64_t suppressed = 0;
  if (fault == NameFault::kNone || entry.logged == fault ||
      !log_budget_.take(monotonic_ms(), suppressed)) {
    return;
  }
  entry.logged = fault;
  LogLine(LogLevel::kWarn, entry.record.addresses().empty()
                               ? "name is not known, it is asked for again"
                               : "name is not known any more, its last addresses go on counting")
      .field("name", entry.name)
      .field("reason", to_string(fault))
      .field("suppressed", suppressed);
}

void Resolver::log_change(const Entry& entry, std::size_t left_out) {
  std::uint64_t suppressed = 0;
  if (!log_budget_.take(monotonic_ms(), suppressed)) return;
  const auto& addresses = entry.record.addresses();
  LogLine(LogLevel::kInfo, "name is known")
      .field("name", entry.name)
      .field("address", ip_to_string(addresses.front()))
      .field("addresses", addresses.size())
      .field("left_out", left_out)
      .field("suppressed", suppressed);
}

// ---- time

void Resolver::on_timer() {
  if (channel_ != nullptr) ::ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  const std::uint64_t now = monotonic_ms();
  for (auto& [name, entry] : entries_) {
    const std::uint64_t at = entry->record.expires_ms();
    if (entry->numeric || at == 0 || at > now || !entry->record.expire(now)) continue;
    entry->changed = true;
    changed_ = true;
  }
  start_queries(now);
  if (changed_) tell();
  arm_timer();
}

// Watchers may come and go while they are told.
void Resolver::tell() {
  changed_ = false;
  std::vector<std::pair<std::string, std::uint64_t>> due;
  for (auto& [name, entry] : entries_) {
    if (!std::exchange(entry->changed, false)) continue;
    for (const auto& [id, function] : entry->watchers) due.emplace_back(name, id);
  }
  for (const auto& [name, id] : due) {
    const auto found = entries_.find(name);
    if (found == entries_.end()) continue;
    const auto watcher = found->second->watchers.find(id);
    if (watcher == found->second->watchers.end() || !watcher->second) continue;
    const OnChange function = watcher->second;
    function();
  }
}

void Resolver::arm_timer() {
  const std::uint64_t now = monotonic_ms();
  std::uint64_t next = now + kNoTimerMs;
  if (changed_) next = now;
  for (const auto& [name, entry] : entries_) {
    if (entry->numeric) continue;
    if (const std::uint64_t at = entry->record.expires_ms(); at != 0) next = std::min(next, at);
    for (std::size_t family = 0; family < kFamily.size(); ++family) {
      if (!entry->asking[family] && asking_ < limits::kResolverQueries) {
        next = std::min(next, entry->record.due_ms(family));
      }
    }
  }
  std::uint64_t wait = next > now ? next - now : 0;
  timeval most = to_timeval(kNoTimerMs);
  timeval left{};
  if (channel_ != nullptr && ::ares_timeout(channel_, &most, &left) != nullptr) {
    wait = std::min(wait, static_cast<std::uint64_t>(left.tv_sec) * 1000 +
                              static_cast<std::uint64_t>(left.tv_usec) / 1000 + 1);
  }
  arm(timer_, wait);
}

}  // namespace weir
