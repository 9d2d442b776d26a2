#include "supervisor/origins.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/network.h"
#include "ipc/flow_table.h"
#include "ipc/origin_walk.h"
#include "ipc/saved_state.h"

namespace weir {
namespace {

using ipc::OriginRef;
using ipc::OriginState;

constexpr auto kRtmp = static_cast<std::size_t>(ipc::EndpointKind::kRtmp);

template <std::size_t N>
void copy_text(char (&field)[N], std::string_view text) {
  std::memset(field, 0, N);
  text.copy(field, N - 1);
}

// The three texts with separators that none can contain unnoticed: lengths go first.
std::string identity(std::string_view server, std::string_view service, std::string_view pid) {
  std::string text = std::to_string(server.size()) + ":" + std::to_string(service.size()) + ":";
  text += server;
  text += service;
  text += pid;
  return text;
}
std::string identity(const ipc::OriginRecord& r) {
  return identity(text_of(r.server), text_of(r.service), text_of(r.pid));
}

bool valid_endpoint(const Endpoint& e, const HostNames& hosts) {
  const bool named = e.family == Family::kName && !hosts.at(e.ip[0]).empty();
  return (e.is_numeric() || named) && e.port != 0;
}

// Empty when all is in range.
std::string_view complaint(const ipc::OriginRegister& m) {
  if (text_of(m.server).empty()) return "server is empty";
  if (text_of(m.service).empty()) return "service is empty";
  if (text_of(m.pid).empty()) return "pid is empty";
  if (m.endpoint_count[kRtmp] == 0) return "rtmp has no endpoint";
  for (std::size_t kind = 0; kind < ipc::kEndpointKinds; ++kind) {
    if (m.endpoint_count[kind] > limits::kEndpointsPerKind) return "too many endpoints of one kind";
    for (std::size_t i = 0; i < m.endpoint_count[kind]; ++i) {
      if (!valid_endpoint(m.endpoints[kind][i], m.hosts))
        return "an endpoint has no address or port";
    }
  }
  return {};
}

void fill_text(ipc::OriginRecord& record, const ipc::OriginRegister& m) {
  copy_text(record.server, text_of(m.server));
  copy_text(record.service, text_of(m.service));
  copy_text(record.pid, text_of(m.pid));
  copy_text(record.device_id, text_of(m.device_id));
}

void copy_endpoints(ipc::OriginRecord& record, const ipc::OriginRegister& m) {
  record.ip = m.ip;
  record.hosts = m.hosts;
  std::memcpy(record.endpoint_count, m.endpoint_count, sizeof record.endpoint_count);
  for (std::size_t kind = 0; kind < ipc::kEndpointKinds; ++kind) {
    std::copy(std::begin(m.endpoints[kind]), std::end(m.endpoints[kind]), record.endpoints[kind]);
  }
}

void put_endpoints(ipc::OriginRecord& record, ipc::EndpointKind kind,
                   const std::vector<Endpoint>& from) {
  const auto k = static_cast<std::size_t>(kind);
  const std::size_t count = std::min(from.size(), limits::kEndpointsPerKind);
  record.endpoint_count[k] = static_cast<std::uint8_t>(count);
  std::copy_n(from.begin(), count, record.endpoints[k]);
}

// `word`: of the configuration.
ipc::LearnMode learn_mode_of(std::string_view word) {
  if (word == "srs") return ipc::LearnMode::kSrs;
  if (word == "nginx_rtmp") return ipc::LearnMode::kNginxRtmp;
  return word == "off" ? ipc::LearnMode::kOff : ipc::LearnMode::kAuto;
}

bool same_endpoints(const OriginConfig& a, const OriginConfig& b) {
  return a.hosts == b.hosts && a.ip == b.ip && a.rtmp == b.rtmp && a.http == b.http &&
         a.api == b.api && a.srt == b.srt && a.rtc == b.rtc;
}

// Beside the time of the probe itself, what asking for it and its verdict may take.
constexpr std::uint64_t kProbeSlackMs = 2000;

// What only its own service knew is forgotten.
void make_unproven(ipc::OriginRecord& record, std::uint64_t now_ms) {
  record.unproven = true;
  record.heartbeat_ms = now_ms;
  record.learn_api = ipc::LearnApi::kNone;
  record.learn_state = ipc::LearnState::kUnknown;
  for (ipc::EndpointRecord& endpoint : record.endpoint) endpoint = {};
}

std::uint32_t longest_dead(const Origins& origins) {
  std::uint32_t best = ipc::kNoSlot;
  for (const std::uint32_t slot : origins.used()) {
    const ipc::OriginRecord& record = origins.at(slot).record;
    if (record.state != OriginState::kDead || record.publishers > 0) continue;
    if (best == ipc::kNoSlot || record.heartbeat_ms < origins.at(best).record.heartbeat_ms) {
      best = slot;
    }
  }
  return best;
}

}  // namespace

ipc::OriginRecord static_record(const OriginConfig& config, std::uint64_t now_ms) {
  ipc::OriginRecord record;
  record.state = OriginState::kUp;
  record.is_static = true;
  record.draining = record.drain_configured = config.drain;
  record.send_client_ip = config.send_client_ip;
  record.proxy_protocol = config.proxy_protocol;
  record.learn_mode = learn_mode_of(config.learn);
  record.weight = config.weight;
  record.registered_wall_ms = wall_ms();
  record.heartbeat_ms = now_ms;
  copy_text(record.name, config.name);
  copy_text(record.tls_name, config.tls_name);
  record.ip = config.ip;
  record.hosts = config.hosts;
  put_endpoints(record, ipc::EndpointKind::kRtmp, config.rtmp);
  put_endpoints(record, ipc::EndpointKind::kHttp, config.http);
  put_endpoints(record, ipc::EndpointKind::kApi, config.api);
  put_endpoints(record, ipc::EndpointKind::kSrt, config.srt);
  put_endpoints(record, ipc::EndpointKind::kRtc, config.rtc);
  return record;
}

void copy_options(ipc::OriginRecord& record, const ipc::OriginRecord& from) {
  record.weight = from.weight;
  record.send_client_ip = from.send_client_ip;
  record.proxy_protocol = from.proxy_protocol;
  record.learn_mode = from.learn_mode;
  std::copy(std::begin(from.tls_name), std::end(from.tls_name), std::begin(record.tls_name));
}

void keep_draining(ipc::OriginRecord& record, const ipc::OriginRecord& before) {
  if (record.drain_configured == before.drain_configured) record.draining = before.draining;
}

LogLine& describe(LogLine& line, const ipc::OriginRecord& record) {
  line.field("origin", record.name);
  if (record.endpoint_count[kRtmp] > 0)
    line.field("rtmp", to_string(record.endpoints[kRtmp][0], record.hosts));
  if (record.server[0] != '\0') {
    line.field("server", record.server).field("service", record.service).field("pid", record.pid);
  }
  return line;
}

void Origins::BoundedSet::insert(const std::string& value) {
  if (!members_.insert(value).second) return;
  order_.push_back(value);
  if (order_.size() <= limit_) return;
  members_.erase(order_.front());
  order_.pop_front();
}

Origins::Origins(ipc::StateWriter& state, Retired retired)
    : state_(state), retired_(std::move(retired)), replaced_(4096), shared_(1024) {}

Origins::Origin* Origins::find(OriginRef ref) {
  return std::as_const(*this).find(ref) != nullptr ? &origins_[ref.slot] : nullptr;
}

const Origins::Origin* Origins::find(OriginRef ref) const {
  if (ref.slot >= origins_.size()) return nullptr;
  const Origin& origin = origins_[ref.slot];
  const bool same =
      origin.record.state != OriginState::kFree && origin.record.generation == ref.generation;
  return same ? &origin : nullptr;
}

OriginRef find_endpoint(const Origins& origins, ipc::EndpointKind kind, const Endpoint& endpoint) {
  for (const std::uint32_t slot : origins.used()) {
    const ipc::OriginRecord& record = origins.at(slot).record;
    const auto index = static_cast<std::size_t>(kind);
    for (std::size_t i = 0; i < record.endpoint_count[index]; ++i) {
      if (ipc::same_endpoint(record.endpoints[index][i], endpoint)) return origins.ref_of(slot);
    }
  }
  return {};
}

OriginRef find_host(const Origins& origins, ipc::EndpointKind without, const Endpoint& address) {
  OriginRef found;
  for (const std::uint32_t slot : origins.used()) {
    const ipc::OriginRecord& record = origins.at(slot).record;
    if (record.endpoint_count[static_cast<std::size_t>(without)] > 0) continue;
    bool here = false;
    for (std::size_t kind = 0; kind < ipc::kEndpointKinds; ++kind) {
      for (std::size_t i = 0; i < record.endpoint_count[kind]; ++i) {
        here = here || record.endpoints[kind][i].same_address(address);
      }
    }
    if (here && found.slot != ipc::kNoSlot) return {};
    if (here) found = origins.ref_of(slot);
  }
  return found;
}

OriginRef Origins::ref_of(std::uint32_t slot) const {
  return {slot, origins_[slot].record.generation};
}

OriginRef Origins::add(const ipc::OriginRecord& record, bool is_default) {
  std::uint32_t generation = 0;
  const std::uint32_t slot = state_.take_origin(generation);
  if (slot == ipc::kNoSlot) return {};
  if (origins_.size() <= slot) origins_.resize(slot + 1);
  Origin& origin = origins_[slot];
  origin.record = record;
  origin.record.generation = generation;
  set_wanted(origin, record);
  origin.is_default = is_default;
  origin.credit = 0;
  // By address, or name, so that `hash` sends a key to the same server whatever process answers
  // there.
  const std::string name = record.endpoint_count[kRtmp] > 0
                               ? to_string(record.endpoints[kRtmp][0], record.hosts)
                               : std::string(text_of(record.name));
  origin.id = keyed_hash(HashSeed{}, name);
  used_.push_back(slot);
  index_.add(slot, keys_of(origins_[slot]));
  publish(slot);
  return ref_of(slot);
}

void Origins::retire(std::uint32_t slot, std::string_view why) {
  ipc::OriginRecord& record = origins_[slot].record;
  if (!why.empty()) {
    LogLine line(LogLevel::kNotice, "origin removed");
    describe(line, record)
        .field("reason", why)
        .field("streams", record.streams)
        .field("publishers", record.publishers)
        .field("players", record.players);
  }
  if (record.streams > 0) retired_(slot);
  index_.remove(slot, keys_of(origins_[slot]));
  used_.erase(std::find(used_.begin(), used_.end(), slot));
  state_.free_origin(slot);
  origins_[slot] = Origin{};
}

std::uint32_t Origins::find_identity(const ipc::OriginRegister& message) const {
  for (const std::uint32_t slot : index_.of_server(std::string(text_of(message.server)))) {
    const ipc::OriginRecord& record = origins_[slot].record;
    if (text_of(record.service) == text_of(message.service) &&
        text_of(record.pid) == text_of(message.pid)) {
      return slot;
    }
  }
  return ipc::kNoSlot;
}

std::uint32_t Origins::find_same_endpoint(const ipc::OriginRecord& record) const {
  for (std::size_t i = 0; i < record.endpoint_count[kRtmp]; ++i) {
    const std::uint32_t slot =
        index_.of_endpoint(to_string(record.endpoints[kRtmp][i], record.hosts));
    if (slot != ipc::kNoSlot) return slot;
  }
  return ipc::kNoSlot;
}

// Which origin here is that one of the predecessor; kNoSlot: none. One of the configuration may
// have no RTMP endpoint, but then its name is its own; those that registered may share a name.
std::uint32_t Origins::find_adopted(const ipc::OriginRecord& record) const {
  const std::uint32_t same = find_same_endpoint(record);
  if (same != ipc::kNoSlot || !record.is_static) return same;
  for (const std::uint32_t slot : used_) {
    const ipc::OriginRecord& here = origins_[slot].record;
    if (here.is_static && text_of(here.name) == text_of(record.name)) return slot;
  }
  return ipc::kNoSlot;
}

std::size_t Origins::adopt(const ipc::StateView& predecessor,
                           std::optional<std::uint64_t> ended_ms) {
  std::size_t adopted = 0;
  ipc::each_origin(predecessor, [&](OriginRef, ipc::OriginRecord& record) {
    if (ended_ms && !ipc::plausible(record)) return;
    if (record.naming != ipc::Naming::kNone) return;  // NamedOrigins has those
    if (const std::uint32_t slot = find_adopted(record); slot != ipc::kNoSlot) {
      keep_draining(origins_[slot].record, record);
      learn_addresses(slot, record);
      publish(slot);
      return;
    }
    if (record.is_static) return;  // no longer in the configuration
    if (ended_ms && record.state != OriginState::kUp) return;
    if (ended_ms) make_unproven(record, *ended_ms);
    record.streams = 0;
    record.publishers = 0;
    record.players = 0;
    registered_.apply_to(record);
    if (add(record, false).slot != ipc::kNoSlot) ++adopted;
  });
  note_next_change();
  return adopted;
}

void Origins::retire_replaced(std::uint32_t slot, const ipc::OriginRecord& by) {
  replaced_.insert(identity(origins_[slot].record));
  retire(slot, "replaced by server " + std::string(text_of(by.server)) + " service " +
                   std::string(text_of(by.service)) + " pid " + std::string(text_of(by.pid)));
}

// A new identity takes the place of an older one with its server id (a restarted process) or with
// its endpoint (another server on the same port). But one that was itself replaced and still sends
// heartbeats shows that two processes live with one id: then both stay, from now on.
void Origins::replace_older_self(const ipc::OriginRecord& record) {
  const std::string server(text_of(record.server));
  std::vector<std::uint32_t> rivals;
  const auto add_rival = [&](std::uint32_t slot) {
    if (slot == ipc::kNoSlot || origins_[slot].record.is_static) return;
    if (std::find(rivals.begin(), rivals.end(), slot) == rivals.end()) rivals.push_back(slot);
  };
  if (!shared_.contains(server)) {
    for (const std::uint32_t slot : index_.of_server(server)) add_rival(slot);
  }
  const std::uint32_t same_endpoint = find_same_endpoint(record);
  if (same_endpoint != ipc::kNoSlot) {
    const std::string other(text_of(origins_[same_endpoint].record.server));
    if (!shared_.contains(server) || !shared_.contains(other)) add_rival(same_endpoint);
  }
  if (!replaced_.contains(identity(record))) {
    for (const std::uint32_t slot : rivals) retire_replaced(slot, record);
    return;
  }
  shared_.insert(server);
  for (const std::uint32_t slot : rivals) {
    const ipc::OriginRecord& other = origins_[slot].record;
    shared_.insert(std::string(text_of(other.server)));
    LogLine line(LogLevel::kWarn,
                 "two live origins share a server id or an endpoint, keeping both");
    describe(line, record)
        .field("other_server", other.server)
        .field("other_service", other.service)
        .field("other_pid", other.pid)
        .field("other_rtmp", to_string(other.endpoints[kRtmp][0]));
  }
}

ipc::Reply Origins::register_origin(const ipc::OriginRegister& m, std::uint64_t now_ms) {
  ipc::Reply reply;
  reply.header.request = m.header.request;
  if (const std::string_view wrong = complaint(m); !wrong.empty()) {
    reply.code = ipc::ReplyCode::kInvalid;
    reply.text.assign(wrong);
    return reply;
  }
  if (const std::uint32_t known = find_identity(m); known != ipc::kNoSlot) {
    return heartbeat(known, m, now_ms);
  }
  ipc::OriginRecord record;
  record.state = OriginState::kUp;
  registered_.apply_to(record);
  record.registered_wall_ms = wall_ms();
  record.heartbeat_ms = now_ms;
  copy_text(record.name, text_of(m.server));
  fill_text(record, m);
  copy_endpoints(record, m);
  if (const std::uint32_t same = find_same_endpoint(record);
      same != ipc::kNoSlot && origins_[same].record.is_static) {
    // It is in the configuration already, which decides; its registration gives it an identity.
    index_.remove(same, keys_of(origins_[same]));
    fill_text(origins_[same].record, m);
    index_.add(same, keys_of(origins_[same]));
    return heartbeat(same, m, now_ms);
  }
  replace_older_self(record);
  OriginRef ref = add(record, false);
  if (ref.slot == ipc::kNoSlot) {
    if (const std::uint32_t dead = longest_dead(*this); dead != ipc::kNoSlot) {
      retire(dead, "dead for the longest time, and the table is full");
      ref = add(record, false);
    }
  }
  if (ref.slot == ipc::kNoSlot) return refuse_full(m, now_ms);
  reply.origin = ref;
  LogLine line(LogLevel::kNotice, "origin registered");
  describe(line, record).field("device_id", record.device_id).field("slot", ref.slot);
  return reply;
}

ipc::Reply Origins::refuse_full(const ipc::OriginRegister& m, std::uint64_t now_ms) {
  state_.header().origins_refused.fetch_add(1, std::memory_order_relaxed);
  std::uint64_t suppressed = 0;
  if (full_log_.take(now_ms, suppressed)) {
    LogLine(LogLevel::kError, "registration refused, the table is full (max_origins)")
        .field("server", text_of(m.server))
        .field("max_origins", state_.header().origin_capacity)
        .field("refused", state_.header().origins_refused.load(std::memory_order_relaxed))
        .field("suppressed", suppressed);
  }
  ipc::Reply reply;
  reply.header.request = m.header.request;
  reply.code = ipc::ReplyCode::kTableFull;
  reply.text.assign("the table of origins is full (max_origins)");
  return reply;
}

ipc::Reply Origins::heartbeat(std::uint32_t slot, const ipc::OriginRegister& m,
                              std::uint64_t now_ms) {
  ipc::OriginRecord& record = origins_[slot].record;
  if (record.naming == ipc::Naming::kLeft) {
    // No name has it any more, but it says that it is there.
    record.naming = ipc::Naming::kNone;
    record.is_static = record.draining = record.drain_configured = false;
    record.weight = 1;
    registered_.apply_to(record);
    copy_text(record.name, text_of(m.server));
    copy_text(record.tls_name, {});
    LogLine line(LogLevel::kNotice, "origin stays by its registration, its address left a name");
    describe(line, record);
  }
  if (!record.is_static) {
    ipc::OriginRecord wanted;
    copy_endpoints(wanted, m);
    index_.remove(slot, keys_of(origins_[slot]));
    set_wanted(origins_[slot], wanted);
    copy_text(record.device_id, text_of(m.device_id));
    index_.add(slot, keys_of(origins_[slot]));
  }
  note_heartbeat(slot, now_ms);
  ipc::Reply reply;
  reply.header.request = m.header.request;
  reply.origin = ref_of(slot);
  return reply;
}

ipc::Reply Origins::command(const ipc::OriginCommand& m) {
  ipc::Reply reply;
  reply.header.request = m.header.request;
  reply.origin = m.origin;
  Origin* origin = find(m.origin);
  if (origin == nullptr) {
    reply.code = ipc::ReplyCode::kNotFound;
    reply.text.assign("no such origin");
    return reply;
  }
  switch (m.action) {
    case ipc::OriginAction::kDrain:
    case ipc::OriginAction::kUndrain: {
      if (origin->record.naming == ipc::Naming::kLeft && m.action == ipc::OriginAction::kUndrain) {
        reply.code = ipc::ReplyCode::kStatic;
        reply.text.assign("the origin drains because its address has left its name");
        return reply;
      }
      origin->record.draining = m.action == ipc::OriginAction::kDrain;
      publish(m.origin.slot);
      LogLine line(LogLevel::kNotice,
                   origin->record.draining ? "origin drains" : "origin takes streams");
      describe(line, origin->record).field("streams", origin->record.streams);
      return reply;
    }
    case ipc::OriginAction::kRemove:
      if (origin->record.is_static && origin->record.naming != ipc::Naming::kLeft) {
        reply.code = ipc::ReplyCode::kStatic;
        reply.text.assign("the origin is in the configuration; remove it there and reload");
        return reply;
      }
      retire(m.origin.slot, "removed through the API");
      return reply;
  }
  reply.code = ipc::ReplyCode::kInvalid;
  reply.text.assign("unknown action");
  return reply;
}

// Gives an origin what the configuration says of it. Streams, sessions, identity and what is known
// of its health stay.
void Origins::configure(std::uint32_t slot, const ipc::OriginRecord& to, bool is_default) {
  Origin& origin = origins_[slot];
  ipc::OriginRecord& record = origin.record;
  index_.remove(slot, keys_of(origin));
  record.state = to.state;
  record.is_static = true;
  record.naming = to.naming;
  record.draining = to.draining;
  record.drain_configured = to.drain_configured;
  copy_options(record, to);
  std::copy(std::begin(to.name), std::end(to.name), std::begin(record.name));
  if (to.naming != ipc::Naming::kNone) {
    record.hosts = to.hosts;
    std::copy(std::begin(to.addresses), std::end(to.addresses), std::begin(record.addresses));
  }
  set_wanted(origin, to);
  origin.is_default = is_default;
  index_.add(slot, keys_of(origin));
  publish(slot);
}

Origins::StaticOrigin* Origins::static_of(std::uint32_t slot) {
  const auto found = std::find_if(static_.begin(), static_.end(), [&](const auto& entry) {
    return entry.second.ref == ref_of(slot);
  });
  return found == static_.end() ? nullptr : &found->second;
}

// One server is one origin: whoever has the RTMP endpoint becomes the block's where it is, unless
// another block has it. kNoSlot: nobody does. `before`: the block's present origin, which goes if
// it is another server.
std::uint32_t Origins::place_static(ipc::OriginRecord record, bool is_default, OriginRef before) {
  const std::uint32_t same = find_same_endpoint(record);
  const bool stays = same != ipc::kNoSlot && ref_of(same) == before;
  if (!stays && find(before) != nullptr) {
    retire(before.slot, "its endpoints changed in the configuration");
  }
  if (same == ipc::kNoSlot || (!stays && static_of(same) != nullptr)) return ipc::kNoSlot;
  const ipc::OriginRecord& here = origins_[same].record;
  if (here.naming != ipc::Naming::kLeft) keep_draining(record, here);
  configure(same, record, is_default);
  return same;
}

void Origins::apply_static(const std::string& key, const OriginConfig& config, bool is_default,
                           std::uint64_t now_ms) {
  ipc::OriginRecord before;
  const auto known = static_.find(key);
  if (known != static_.end() && find(known->second.ref) != nullptr) {
    StaticOrigin& have = known->second;
    if (have.config == config) return;
    if (same_endpoints(have.config, config)) {
      ipc::OriginRecord& record = origins_[have.ref.slot].record;
      copy_options(record, static_record(config, now_ms));
      if (have.config.drain != config.drain)
        record.draining = record.drain_configured = config.drain;
      publish(have.ref.slot);
      have.config = config;
      LogLine line(LogLevel::kNotice, "origin changed by the configuration");
      describe(line, record).field("weight", record.weight).field("drain", record.draining);
      return;
    }
    before = origins_[have.ref.slot].record;
  }
  const ipc::OriginRecord record = static_record(config, now_ms);
  OriginRef ref;
  if (const std::uint32_t same =
          place_static(record, is_default, known != static_.end() ? known->second.ref : ref);
      same != ipc::kNoSlot) {
    ref = ref_of(same);
  } else {
    ref = add(record, is_default);
  }
  if (find(ref) != nullptr) {
    learn_addresses(ref.slot, before);
    publish(ref.slot);
  }
  static_[key] = StaticOrigin{config, ref};
  LogLine line(ref.slot == ipc::kNoSlot ? LogLevel::kError : LogLevel::kNotice,
               ref.slot == ipc::kNoSlot ? "no slot for an origin of the configuration (max_origins)"
                                        : "origin configured");
  describe(line, record).field("weight", record.weight);
}

void Origins::apply(const Config& config, std::uint64_t now_ms) {
  health_.max_fails = static_cast<std::uint32_t>(config.balance.max_fails);
  health_.eject_time_ms = config.balance.eject_time;
  health_.eject_time_max_ms = config.balance.eject_time_max;
  health_.ttl_ms = config.balance.origin_ttl;
  health_.forget_ms = config.balance.origin_forget;
  health_.trial_ms = config.balance.probe_timeout + kProbeSlackMs;
  registered_ = {config.rtmp.send_client_ip, proxy_version(config.origin_proxy_protocol),
                 learn_mode_of(config.learn.mode)};

  std::map<std::string, std::pair<OriginConfig, bool>> wanted;
  const auto want = [&](const std::string& key, OriginConfig origin, bool is_default) {
    if (origin.learn.empty()) origin.learn = config.learn.mode;
    wanted[key] = {std::move(origin), is_default};
  };
  if (auto backend = default_backend_origin(config)) want("default_backend", *backend, true);
  for (const OriginConfig& origin : config.origins) want("origin " + origin.name, origin, false);
  std::set<std::uint32_t> servers;  // that have blocks
  for (const auto& [key, value] : wanted) {
    servers.insert(find_same_endpoint(static_record(value.first, now_ms)));
  }
  const auto retire_removed = [this](OriginRef ref) {
    if (find(ref) != nullptr) retire(ref.slot, "removed from the configuration");
  };
  std::vector<OriginRef> renamed;  // of blocks that have gone, and whose server another one has
  std::erase_if(static_, [&](const auto& entry) {
    if (wanted.count(entry.first) != 0) return false;
    const OriginRef ref = entry.second.ref;
    if (servers.count(ref.slot) != 0) {
      renamed.push_back(ref);
    } else {
      retire_removed(ref);
    }
    return true;
  });
  for (const auto& [key, value] : wanted) apply_static(key, value.first, value.second, now_ms);
  for (const OriginRef ref : renamed) {
    if (find(ref) != nullptr && static_of(ref.slot) == nullptr) retire_removed(ref);
  }
  for (const std::uint32_t slot : used_) {
    ipc::OriginRecord& record = origins_[slot].record;
    if (!record.is_static && registered_.apply_to(record)) publish(slot);
  }
  note_next_change();
}

bool Origins::Registered::apply_to(ipc::OriginRecord& record) const {
  const bool same = record.send_client_ip == send_client_ip &&
                    record.proxy_protocol == proxy_protocol && record.learn_mode == learn_mode;
  record.send_client_ip = send_client_ip;
  record.proxy_protocol = proxy_protocol;
  record.learn_mode = learn_mode;
  return !same;
}

}  // namespace weir
