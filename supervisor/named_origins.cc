#include "supervisor/named_origins.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/base/limits.h"
#include "common/base/log.h"
#include "ipc/origin_walk.h"
#include "ipc/saved_state.h"

namespace weir {
namespace {

using ipc::Naming;
using ipc::OriginRecord;

constexpr Family kFamily[] = {Family::kIpv4, Family::kIpv6};
std::size_t family_of(const Endpoint& address) {
  return address.family == kFamily[0] ? 0 : 1;
}

// Nobody would miss it: no session, and no stream that is anywhere but in the table.
bool is_empty(const OriginRecord& record) {
  return record.publishers == 0 && record.players == 0 &&
         (record.streams == 0 || state_text(record) == "ejected");
}

// An origin that may become the name's where it is: one that registered, or one that another name
// has lost.
bool may_take_over(const OriginRecord& record) {
  return record.naming == Naming::kLeft || !record.is_static;
}

bool is_sane(const ipc::NamedAddresses& m) {
  if (m.family >= std::size(kFamily) || m.answer != ipc::NameAnswer::kAddresses || m.total == 0 ||
      m.total > limits::kResolverAddresses || m.first + m.row_count > m.total) {
    return false;
  }
  return std::all_of(m.rows, m.rows + m.row_count, [&m](const Endpoint& row) {
    return row.family == kFamily[m.family] && row.is_host();
  });
}

Endpoint address_of(const Endpoint& endpoint) {
  Endpoint address = endpoint;
  address.port = 0;
  address.scheme = Scheme::kDefault;
  return address;
}

}  // namespace

// nullptr: it has none, or another block, the configuration or a registration has it now.
Origins::Origin* NamedOrigins::owned(const Set& set, const Member& member) {
  Origins::Origin* origin = origins_.find(member.ref);
  const bool mine =
      origin != nullptr && origin->set == set.id && origin->record.naming != Naming::kNone;
  return mine ? origin : nullptr;
}

OriginRecord NamedOrigins::record_of(const Set& set, const Endpoint& address,
                                     std::uint64_t now_ms) {
  OriginRecord record = static_record(set.config.origin_at(address), now_ms);
  record.naming = Naming::kNamed;
  record.addresses[0] = address;
  return record;
}

// ---- configuration

void NamedOrigins::apply(const Config& config, std::uint64_t now_ms) {
  blocks_.clear();
  std::set<std::string> wanted;
  std::vector<Set*> fresh;
  for (OriginsFromConfig block : config.origins_from) {
    if (block.each.learn.empty()) block.each.learn = config.learn.mode;
    Set& set = sets_[block.text()];
    wanted.insert(block.text());
    blocks_.push_back(&set);
    if (set.id == 0) {
      set.id = ++last_id_;
      set.config = block;
      name_as_known(set);
      fresh.push_back(&set);
    }
    set.ended = false;
    for (Parts& parts : set.parts) parts = {};  // of the generation before
    if (!(set.config == block)) reconfigure(set, block, now_ms);
  }
  for (auto& [text, set] : sets_) {
    if (wanted.count(text) == 0 && !set.ended) end(set, now_ms);
  }
  Change change;
  for (Set* set : fresh) place_all(*set, change, now_ms);
}

// Another block has the same name, such as one whose PORT has changed: what that name stands for is
// known, also while name servers are silent.
void NamedOrigins::name_as_known(Set& set) {
  for (const auto& [text, other] : sets_) {
    if (&other == &set || other.config.host() != set.config.host()) continue;
    for (const auto& [address, member] : other.members) {
      if (member.named) set.members[address].named = true;
    }
  }
}

void NamedOrigins::reconfigure(Set& set, const OriginsFromConfig& to, std::uint64_t now_ms) {
  const bool drain_changed = set.config.each.drain != to.each.drain;
  set.config = to;
  for (auto& [address, member] : set.members) {
    const Origins::Origin* origin = owned(set, member);
    if (origin == nullptr) continue;
    OriginRecord record = record_of(set, address, now_ms);
    if (drain_changed) member.told_to_drain = to.each.drain;
    if (!drain_changed) record.draining = origin->record.draining;
    record.naming = origin->record.naming;
    if (record.naming == Naming::kLeft) record.draining = true;
    origins_.configure(member.ref.slot, record);
  }
  LogLine(LogLevel::kNotice, "origins of a name changed by the configuration")
      .field("name", set.config.text())
      .field("addresses", set.members.size());
}

void NamedOrigins::end(Set& set, std::uint64_t now_ms) {
  set.ended = true;
  for (auto& [address, member] : set.members) {
    member.named = false;
    leave(set, member, now_ms);
  }
  LogLine(LogLevel::kNotice, "name removed from the configuration, its origins drain")
      .field("name", set.config.text())
      .field("origins", set.members.size());
}

void NamedOrigins::adopt(const ipc::StateView& predecessor, std::uint64_t now_ms) {
  ipc::each_origin(predecessor, [&](ipc::OriginRef, const OriginRecord& record) {
    const Endpoint address = address_of(record.addresses[0]);
    if (record.naming == Naming::kNone || !ipc::plausible(record) || !address.is_numeric() ||
        !address.is_host()) {
      return;
    }
    constexpr auto kRtmp = static_cast<std::size_t>(ipc::EndpointKind::kRtmp);
    for (const Endpoint& endpoint : record.endpoints[kRtmp]) {
      const auto found =
          sets_.find(std::string(record.hosts.at(1)) + ":" + std::to_string(endpoint.port));
      if (found == sets_.end()) continue;
      Set& set = found->second;
      Member& member = set.members[address];
      if (place(set, address, member, now_ms) != Placed::kDone) return;
      member.named = record.naming == Naming::kNamed;
      if (!member.named) return leave(set, member, now_ms);
      keep_draining(origins_.at(member.ref.slot).record, record);
      return origins_.publish(member.ref.slot);
    }
  });
}

// ---- answers

void NamedOrigins::on_answer(const ipc::NamedAddresses& m, std::uint64_t now_ms) {
  const bool current = m.generation == state_.header().generation.load(std::memory_order_relaxed);
  if (!current || m.block >= blocks_.size() || m.family >= kFamilies) return;
  Set& set = *blocks_[m.block];
  Parts& parts = set.parts[m.family];
  if (m.answer == ipc::NameAnswer::kAbsent) {
    parts = {};
    if (!std::exchange(set.absent[m.family], true)) note_absent(set, m.family);
    return;
  }
  if (!is_sane(m)) return;
  if (m.first == 0) parts = {m.serial, m.total, {}};
  if (m.serial != parts.serial || m.total != parts.total || m.first != parts.rows.size()) {
    parts = {};
    return;
  }
  for (std::size_t i = 0; i < m.row_count; ++i) parts.rows.push_back(address_of(m.rows[i]));
  if (parts.rows.size() < parts.total) return;
  const Parts whole = std::exchange(parts, {});
  take_answer(set, m.family, whole.rows, now_ms);
}

void NamedOrigins::note_absent(const Set& set, std::size_t family) {
  const auto named =
      std::count_if(set.members.begin(), set.members.end(), [family](const auto& entry) {
        return entry.second.named && entry.first.family == kFamily[family];
      });
  if (named == 0) return;
  LogLine(LogLevel::kWarn,
          "name is said to have no address any more, its origins stay as long as they answer")
      .field("name", set.config.text())
      .field("family", family == 0 ? "IPv4" : "IPv6")
      .field("origins", static_cast<std::uint64_t>(named));
}

void NamedOrigins::take_answer(Set& set, std::size_t family, const std::vector<Endpoint>& addresses,
                               std::uint64_t now_ms) {
  set.absent[family] = false;
  Change change;
  for (auto& [address, member] : set.members) {
    if (address.family == kFamily[family]) member.named = false;
  }
  for (const Endpoint& address : addresses) set.members[address].named = true;
  // First those that go: they may make room.
  for (auto it = set.members.begin(); it != set.members.end();) {
    Member& member = it->second;
    const Origins::Origin* origin = owned(set, member);
    if (!member.named && origin == nullptr) {
      it = set.members.erase(it);
      continue;
    }
    ++it;
    if (origin == nullptr || member.named == (origin->record.naming == Naming::kNamed)) continue;
    if (!member.named) {
      leave(set, member, now_ms);
      ++change.drained;
    } else if (come_back(set, member, now_ms)) {
      ++change.returned;
    }
  }
  place_all(set, change, now_ms);
  if (change.added + change.returned + change.drained == 0) return;
  LogLine(LogLevel::kNotice, "name stands for other origins")
      .field("name", set.config.text())
      .field("addresses", addresses.size())
      .field("added", change.added)
      .field("back", change.returned)
      .field("drained", change.drained)
      .field("waiting", set.waiting);
}

// What it has stays, new streams go elsewhere.
void NamedOrigins::leave(const Set& set, Member& member, std::uint64_t now_ms) {
  Origins::Origin* origin = owned(set, member);
  if (origin == nullptr || origin->record.naming == Naming::kLeft) return;
  member.told_to_drain = origin->record.draining;
  member.left_ms = now_ms;
  origin->record.naming = Naming::kLeft;
  origin->record.draining = true;
  origins_.publish(member.ref.slot);
  state_.header().named_drained.fetch_add(1, std::memory_order_relaxed);
  log_one("origin drains, its address has left the name", set, origin->record, now_ms);
}

bool NamedOrigins::come_back(Set& set, Member& member, std::uint64_t now_ms) {
  Origins::Origin* origin = owned(set, member);
  if (origin == nullptr || origin->record.naming != Naming::kLeft) return false;
  origin->record.naming = Naming::kNamed;
  origin->record.draining = member.told_to_drain;
  origins_.publish(member.ref.slot);
  state_.header().named_returned.fetch_add(1, std::memory_order_relaxed);
  log_one("origin takes streams again, its address is back", set, origin->record, now_ms);
  return true;
}

// ---- slots

NamedOrigins::Placed NamedOrigins::place(Set& set, const Endpoint& address, Member& member,
                                         std::uint64_t now_ms) {
  const OriginRecord record = record_of(set, address, now_ms);
  const std::uint32_t same = origins_.find_same_endpoint(record);
  if (same == ipc::kNoSlot) {
    member.ref = origins_.add(record, false);
    if (member.ref.slot == ipc::kNoSlot) return Placed::kFull;
  } else {
    if (!may_take_over(origins_.at(same).record)) return Placed::kTaken;
    origins_.configure(same, record);
    member.ref = origins_.ref_of(same);
  }
  origins_.at(member.ref.slot).set = set.id;
  member.refused = false;
  state_.header().named_added.fetch_add(1, std::memory_order_relaxed);
  log_one(same == ipc::kNoSlot ? "origin added, a name has its address"
                               : "origin is now one of a name that has its address",
          set, record, now_ms);
  return Placed::kDone;
}

// Gives each address that has none an origin, as long as there are slots.
void NamedOrigins::place_all(Set& set, Change& change, std::uint64_t now_ms) {
  std::uint64_t waiting = 0;
  bool swept = false;
  for (auto& [address, member] : set.members) {
    if (!member.named || owned(set, member) != nullptr) continue;
    Placed placed = waiting > 0 ? Placed::kFull : place(set, address, member, now_ms);
    if (placed == Placed::kFull && !std::exchange(swept, true)) {
      for (auto& [text, each] : sets_) remove_left(each, now_ms);
      placed = place(set, address, member, now_ms);
    }
    if (placed == Placed::kDone) ++change.added;
    if (placed != Placed::kFull) continue;
    ++waiting;
    if (!std::exchange(member.refused, true)) {
      state_.header().origins_refused.fetch_add(1, std::memory_order_relaxed);
    }
  }
  note_waiting(set, waiting, now_ms);
}

void NamedOrigins::note_waiting(Set& set, std::uint64_t waiting, std::uint64_t now_ms) {
  if (set.waiting == waiting) return;
  const bool news = set.waiting == 0;
  state_.header().named_waiting.fetch_add(waiting - set.waiting, std::memory_order_relaxed);
  set.waiting = waiting;
  std::uint64_t suppressed = 0;
  if (!news || !full_log_.take(now_ms, suppressed)) return;
  LogLine(LogLevel::kError, "addresses of a name wait, the table of origins is full (max_origins)")
      .field("name", set.config.text())
      .field("waiting", waiting)
      .field("max_origins", state_.header().origin_capacity)
      .field("suppressed", suppressed);
}

// Those whose address has left: when nobody is there, or their time is over. Their entries go with
// the next answer or turn.
void NamedOrigins::remove_left(Set& set, std::uint64_t now_ms) {
  for (auto& [address, member] : set.members) {
    const Origins::Origin* origin = owned(set, member);
    if (origin == nullptr || origin->record.naming != Naming::kLeft || member.named) continue;
    const std::uint64_t limit = set.config.drain_timeout;
    const bool late = limit != 0 && now_ms >= member.left_ms + limit;
    if (!late && (predecessor_lives_ || !is_empty(origin->record))) continue;
    log_one(late ? "origin removed, its address left the name for drain_timeout"
                 : "origin removed, its address has left the name and nobody is there",
            set, origin->record, now_ms);
    origins_.retire(member.ref.slot, {});
  }
}

// ---- time

// The name is said not to be there: those that are not there either, both for absent_timeout.
void NamedOrigins::drain_unproved(Set& set, std::uint64_t now_ms) {
  for (auto& [address, member] : set.members) {
    const Origins::Origin* origin = owned(set, member);
    const bool unproved = member.named && set.absent[family_of(address)] && origin != nullptr &&
                          state_text(origin->record) == "ejected";
    if (!unproved) {
      member.unproved_ms = 0;
      continue;
    }
    if (member.unproved_ms == 0) member.unproved_ms = now_ms;
    if (now_ms < member.unproved_ms + set.config.absent_timeout) continue;
    member.named = false;
    leave(set, member, now_ms);
  }
}

void NamedOrigins::tick(std::uint64_t now_ms, bool predecessor_lives) {
  predecessor_lives_ = predecessor_lives;
  for (auto it = sets_.begin(); it != sets_.end();) {
    Set& set = it->second;
    drain_unproved(set, now_ms);
    remove_left(set, now_ms);
    std::erase_if(set.members, [&](const auto& entry) {
      return !entry.second.named && owned(set, entry.second) == nullptr;
    });
    Change change;
    place_all(set, change, now_ms);
    it = set.ended && set.members.empty() ? sets_.erase(it) : std::next(it);
  }
}

void NamedOrigins::log_one(std::string_view what, const Set& set, const OriginRecord& record,
                           std::uint64_t now_ms) {
  std::uint64_t suppressed = 0;
  if (!log_budget_.take(now_ms, suppressed)) return;
  LogLine line(LogLevel::kNotice, what);
  describe(line, record)
      .field("name", set.config.text())
      .field("streams", record.streams)
      .field("publishers", record.publishers)
      .field("players", record.players)
      .field("suppressed", suppressed);
}

}  // namespace weir
