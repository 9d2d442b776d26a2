// Origins, the host names among their endpoints: which address each stands for. The control worker
// asks for them; here addresses are put in the place of names.
#include <algorithm>
#include <iterator>

#include "supervisor/origins.h"

namespace weir {
namespace {

constexpr auto kRtmp = static_cast<std::size_t>(ipc::EndpointKind::kRtmp);

// With the address of its name; empty: it has none yet.
Endpoint resolved(Endpoint endpoint, const ipc::OriginRecord& record) {
  if (endpoint.family != Family::kName) return endpoint;
  const std::size_t number = endpoint.ip[0];
  if (number == 0 || number > HostNames::kMax || record.addresses[number - 1].empty()) return {};
  const Endpoint& address = record.addresses[number - 1];
  endpoint.family = address.family;
  std::copy(std::begin(address.ip), std::end(address.ip), endpoint.ip);
  return endpoint;
}

// Endpoints that have changed have nothing of the old ones' health.
void fill_endpoints(Origins::Origin& origin) {
  ipc::OriginRecord& record = origin.record;
  record.ip = resolved(origin.wanted.ip, record);
  for (std::size_t kind = 0; kind < ipc::kEndpointKinds; ++kind) {
    Endpoint list[limits::kEndpointsPerKind] = {};
    std::uint8_t count = 0;
    for (std::size_t i = 0; i < origin.wanted.count[kind]; ++i) {
      const Endpoint endpoint = resolved(origin.wanted.endpoints[kind][i], record);
      if (!endpoint.empty()) list[count++] = endpoint;
    }
    if (count == record.endpoint_count[kind] &&
        std::equal(std::begin(list), std::end(list), std::begin(record.endpoints[kind]))) {
      continue;
    }
    record.endpoint_count[kind] = count;
    std::copy(std::begin(list), std::end(list), std::begin(record.endpoints[kind]));
    record.endpoint[kind].health = route::EndpointHealth{};
  }
}

// A port of the host where TCP is spoken; 0: there is none.
std::uint16_t tcp_port(const Origins::Wanted& wanted, std::size_t number) {
  for (const auto kind :
       {ipc::EndpointKind::kRtmp, ipc::EndpointKind::kHttp, ipc::EndpointKind::kApi}) {
    const auto k = static_cast<std::size_t>(kind);
    for (std::size_t i = 0; i < wanted.count[k]; ++i) {
      const Endpoint& endpoint = wanted.endpoints[k][i];
      if (endpoint.family == Family::kName && endpoint.ip[0] == number) return endpoint.port;
    }
  }
  return 0;
}

void copy_identity(ipc::OriginRecord& record, const ipc::OriginRecord& from) {
  std::copy(std::begin(from.server), std::end(from.server), std::begin(record.server));
  std::copy(std::begin(from.service), std::end(from.service), std::begin(record.service));
  std::copy(std::begin(from.pid), std::end(from.pid), std::begin(record.pid));
  std::copy(std::begin(from.device_id), std::end(from.device_id), std::begin(record.device_id));
}

// As another origin has it; empty: none does.
Endpoint known_address(const Origins& origins, std::string_view name) {
  for (const std::uint32_t slot : origins.used()) {
    const ipc::OriginRecord& record = origins.at(slot).record;
    for (std::size_t i = 0; i < HostNames::kMax; ++i) {
      if (!record.addresses[i].empty() && record.hosts.at(i + 1) == name) {
        return record.addresses[i];
      }
    }
  }
  return {};
}

}  // namespace

// `wanted`: a record whose endpoints may have names. What is known of these is kept.
void Origins::set_wanted(Origin& origin, const ipc::OriginRecord& wanted) {
  ipc::OriginRecord& record = origin.record;
  origin.wanted.ip = wanted.ip;
  std::copy(std::begin(wanted.endpoint_count), std::end(wanted.endpoint_count),
            std::begin(origin.wanted.count));
  for (std::size_t kind = 0; kind < ipc::kEndpointKinds; ++kind) {
    std::copy(std::begin(wanted.endpoints[kind]), std::end(wanted.endpoints[kind]),
              std::begin(origin.wanted.endpoints[kind]));
  }
  Endpoint addresses[HostNames::kMax] = {};
  for (std::size_t i = 0; i < wanted.hosts.count(); ++i) {
    const std::string_view name = wanted.hosts.at(i + 1);
    addresses[i] = record.hosts.at(i + 1) == name ? record.addresses[i] : Endpoint{};
    if (addresses[i].empty()) addresses[i] = known_address(*this, name);
    addresses[i].port = tcp_port(origin.wanted, i + 1);
  }
  record.hosts = wanted.hosts;
  std::copy(std::begin(addresses), std::end(addresses), std::begin(record.addresses));
  fill_endpoints(origin);
}

// Names of the slot's origin that are unknown here, and known there.
void Origins::learn_addresses(std::uint32_t slot, const ipc::OriginRecord& from) {
  Origin& origin = origins_[slot];
  index_.remove(slot, keys_of(origin));
  for (std::size_t i = 0; i < origin.record.hosts.count(); ++i) {
    Endpoint& address = origin.record.addresses[i];
    for (std::size_t k = 0; k < HostNames::kMax && address.empty(); ++k) {
      if (!from.addresses[k].is_numeric() ||
          from.hosts.at(k + 1) != origin.record.hosts.at(i + 1)) {
        continue;
      }
      const std::uint16_t port = address.port;
      address = from.addresses[k];
      address.port = port;
    }
  }
  fill_endpoints(origin);
  index_.add(slot, keys_of(origin));
}

void Origins::set_address(const ipc::OriginAddress& message) {
  Origin* origin = find(message.origin);
  if (origin == nullptr || origin->record.naming != ipc::Naming::kNone || message.host == 0 ||
      message.host > origin->record.hosts.count() || !message.address.is_numeric() ||
      !message.address.is_host()) {
    return;
  }
  ipc::OriginRecord& record = origin->record;
  Endpoint& address = record.addresses[message.host - 1];
  if (address.same_address(message.address)) return;
  const std::string before = address.empty() ? "" : ip_to_string(address);
  const std::uint16_t port = address.port;
  index_.remove(message.origin.slot, keys_of(*origin));
  address = message.address;
  address.port = port;
  address.scheme = Scheme::kDefault;
  fill_endpoints(*origin);
  LogLine(LogLevel::kNotice, "origin has another address")
      .field("origin", record.name)
      .field("host", record.hosts.at(message.host))
      .field("address", ip_to_string(address))
      .field("before", before);
  if (join_same(message.origin.slot)) return;
  index_.add(message.origin.slot, keys_of(*origin));
  publish(message.origin.slot);
}

// One server is one origin. An address has shown that this one is there already: as an origin of
// the configuration, of a name, or as one that registered. What the configuration says counts, then
// what a name says; a registration gives an identity. The one there stays, since streams and
// sessions are there; only where this one has streams does that one go. Two of one kind stay both.
// True: the slot's origin has gone. REQUIRES: the slot's keys are not in the index.
bool Origins::join_same(std::uint32_t slot) {
  const Origin& mine = origins_[slot];
  const std::uint32_t same = find_same_endpoint(mine.record);
  if (same == ipc::kNoSlot) return false;
  ipc::OriginRecord& there = origins_[same].record;
  StaticOrigin* const block = static_of(slot);
  const bool configured = there.is_static && there.naming == ipc::Naming::kNone;
  if (block != nullptr ? configured : !there.is_static) return false;
  if (mine.record.streams > 0) {
    if (!configured) {
      retire(same, "its address is that of origin " + std::string(text_of(mine.record.name)));
    }
    return false;
  }
  if (block != nullptr) {
    ipc::OriginRecord record = static_record(block->config, mine.record.heartbeat_ms);
    if (there.naming != ipc::Naming::kLeft) keep_draining(record, there);
    record.draining = record.draining || mine.record.draining;
    configure(same, record, mine.is_default);
    block->ref = ref_of(same);
  } else {
    index_.remove(same, keys_of(origins_[same]));
    copy_identity(there, mine.record);
    index_.add(same, keys_of(origins_[same]));
    publish(same);
  }
  retire(slot, "its address is that of origin " + std::string(text_of(there.name)));
  return true;
}

OriginIndex::Keys keys_of(const Origins::Origin& origin) {
  OriginIndex::Keys keys;
  keys.server = text_of(origin.record.server);
  for (std::size_t i = 0; i < origin.wanted.count[kRtmp]; ++i) {
    const Endpoint& endpoint = origin.wanted.endpoints[kRtmp][i];
    if (endpoint.family != Family::kName) continue;
    keys.endpoints.push_back(to_string(endpoint, origin.record.hosts));
  }
  for (std::size_t i = 0; i < origin.record.endpoint_count[kRtmp]; ++i) {
    keys.endpoints.push_back(to_string(origin.record.endpoints[kRtmp][i]));
  }
  return keys;
}

}  // namespace weir
