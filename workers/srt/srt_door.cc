#include "workers/srt/srt_door.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/proto/srt/cookie.h"

namespace weir::srt {
namespace {

using ipc::Counter;

constexpr std::size_t kNewCalls = 64;  // that wait for the end of this turn, or of a session

// Every worker has the same, over reloads and crashes: a conclusion may come to another one than
// its induction. Not the table's seed itself, of which cookies would be samples.
HashSeed cookie_seed(HashSeed table) {
  return {keyed_hash(table, "srt cookie, first half"), keyed_hash(table, "srt cookie, second")};
}

}  // namespace

SrtDoor::SrtDoor(SrtProcess& process, SrtDialer& dialer, SessionWatch& watch,
                 const KeyLengths& key_lengths)
    : process_(process),
      dialer_(dialer),
      watch_(watch),
      key_lengths_(key_lengths),
      doorman_{cookie_seed(process.table.header().seed)},
      access_(parse_access_list(process.config.srt.access).value_or(AccessList{})) {}

void SrtDoor::on_handshake(const ClientPacket& packet) {
  std::array<std::uint8_t, kHandshakeBytes> buffer;
  const std::uint64_t now = monotonic_ms();
  doorman_.encryption = key_lengths_.advertised();
  const Admission entry = admit(doorman_, packet.bytes, packet.key.address, now, buffer);
  switch (entry.entry) {
    case Entry::kIgnored:
      process_.counters.add(entry.failure == Failure::kBadCookie ? Counter::kSrtBadCookie
                                                                 : Counter::kSrtMalformed);
      return;
    case Entry::kConclusion:
      on_conclusion(packet, entry, now);
      return;
    case Entry::kAnswered:
      break;
  }
  process_.relay.reply(packet, entry.answer);
  if (entry.failure == Failure::kNone) {
    process_.counters.add(Counter::kSrtInductions);
    return;
  }
  process_.counters.add(Counter::kSrtRefused);
  std::uint64_t suppressed = 0;
  if (!process_.refusals.take(now, suppressed)) return;
  LogLine(LogLevel::kWarn, "SRT caller refused")
      .field("client", packet.key.address)
      .field("reason", to_string(entry.failure))
      .field("suppressed", suppressed);
}

void SrtDoor::on_conclusion(const ClientPacket& packet, const Admission& entry, std::uint64_t now) {
  const std::uint32_t caller_id = entry.caller_id;
  const std::uint32_t sequence = entry.initial_sequence;
  if (Dial* known = dialer_.find({packet.key.address, caller_id})) {
    if (known->handshake.initial_sequence() != sequence) return defer(packet, entry);
    return dialer_.repeat(*known, packet, now);
  }
  ipc::FlowRecord record;
  const auto hit = process_.table.find_srt_caller(packet.key.address, caller_id, record);
  if (!hit) return begin(packet, caller_id, now, nullptr, record);
  if (record.srt_first_sequence != sequence) return defer(packet, entry);
  if (record.srt_listener_id != 0) {
    // Established: its answer has been sent, but perhaps by a worker that died before it arrived.
    // Then the caller has never spoken, and the origin says the same again.
    const std::uint32_t here = process_.relay.find(hit->flow);
    if (here == kNoFlow || process_.relay.flow(here).client_spoke) return;
  }
  begin(packet, caller_id, now, &hit->flow, record);
}

// A client that was restarted has the port and the socket id of before; libsrt takes the new call
// at once. Here the old one ends first, which it can't within the relay's work.
void SrtDoor::defer(const ClientPacket& packet, const Admission& entry) {
  if (new_calls_.size() >= kNewCalls) return;  // it repeats itself
  new_calls_.push_back({packet,
                        entry.caller_id,
                        entry.initial_sequence,
                        {packet.bytes.begin(), packet.bytes.end()}});
  new_calls_.back().packet.bytes = {};
  process_.wake();
}

void SrtDoor::take_new_calls() {
  for (NewCall& call : std::exchange(new_calls_, {})) {
    const std::uint64_t now = monotonic_ms();
    call.packet.bytes = call.bytes;
    const ClientKey key{call.packet.key.address, call.caller_id};
    Dial* known = dialer_.find(key);
    // One that came twice in this turn.
    if (known != nullptr && known->handshake.initial_sequence() == call.initial_sequence) {
      continue;
    }
    // One that nobody could serve ends nothing.
    if (Session(process_.options, call.bytes, key.address, now).state() ==
        SessionState::kRejected) {
      turn_away(call.packet, Reject::kRogue, now);
      continue;
    }
    const ipc::FlowRef dropped = known != nullptr ? known->ref : ipc::FlowRef{};
    if (known != nullptr) dialer_.drop(*known);
    ipc::FlowRecord record;
    const auto hit = process_.table.find_srt_caller(key.address, call.caller_id, record);
    if (hit && !end_old_call(hit->flow, dropped, call.packet)) continue;
    begin(call.packet, call.caller_id, now, nullptr, record);
  }
}

// False: the session is at another worker, or its worker has just gone. It comes here to be ended;
// the caller repeats itself and is let in then.
bool SrtDoor::end_old_call(ipc::FlowRef flow, ipc::FlowRef dropped, const ClientPacket& caller) {
  if (const std::uint32_t here = process_.relay.find(flow); here != kNoFlow) {
    watch_.close(here, kCallsAnew);
    watch_.end_closed();
    return true;
  }
  if (flow == dropped) return true;  // the master has been told
  const auto known = std::find_if(fetched_.begin(), fetched_.end(),
                                  [flow](const Fetched& each) { return each.flow == flow; });
  if (known != fetched_.end() || fetched_.size() >= kNewCalls) return false;
  ClientPacket proof = caller;
  proof.bytes = {};  // there is nothing to forward
  if (const std::uint32_t request = process_.relay.claim(flow, proof); request != 0) {
    fetched_.push_back({request, flow});
  }
  return false;
}

void SrtDoor::on_begin(std::uint32_t index) {
  const ipc::FlowRef flow = process_.relay.flow(index).ref;
  const auto wanted =
      std::erase_if(fetched_, [flow](const Fetched& each) { return each.flow == flow; });
  if (wanted > 0) watch_.close(index, kCallsAnew);
}

void SrtDoor::on_refused(std::uint32_t request) {
  std::erase_if(fetched_, [request](const Fetched& each) { return each.request == request; });
}

void SrtDoor::clear() {
  new_calls_.clear();
  fetched_.clear();
}

void SrtDoor::begin(const ClientPacket& packet, std::uint32_t caller_id, std::uint64_t now,
                    const ipc::FlowRef* found, const ipc::FlowRecord& record) {
  if (!access_.allows(packet.key.address)) return deny(packet, now);
  const DialTable::Room room = dialer_.room_for(packet.key.address);
  if (room != DialTable::Room::kYes) return overload(packet, room, now);
  dialer_.begin(packet, caller_id, now, found, record);
}

// Says no without keeping anything.
void SrtDoor::turn_away(const ClientPacket& packet, Reject code, std::uint64_t now) {
  Session handshake(process_.options, packet.bytes, packet.key.address, now);
  if (handshake.state() != SessionState::kRejected) handshake.reject(code, now);
  process_.relay.reply(packet, handshake.to_client());
}

void SrtDoor::deny(const ClientPacket& packet, std::uint64_t now) {
  process_.counters.add(Counter::kAccessHandshake);
  turn_away(packet, Reject::kForbidden, now);
  std::uint64_t suppressed = 0;
  if (!process_.refusals.take(now, suppressed)) return;
  LogLine(LogLevel::kWarn, "SRT caller refused, the access option denies it")
      .field("client", packet.key.address)
      .field("suppressed", suppressed);
}

void SrtDoor::overload(const ClientPacket& packet, DialTable::Room room, std::uint64_t now) {
  process_.counters.add(Counter::kSrtOverload);
  turn_away(packet, Reject::kOverload, now);
  std::uint64_t suppressed = 0;
  if (!process_.refusals.take(now, suppressed)) return;
  const bool share = room == DialTable::Room::kShareTaken;
  LogLine(LogLevel::kWarn, share ? "SRT caller refused, too many handshakes of its address"
                                 : "SRT caller refused, too many handshakes are under way")
      .field("client", packet.key.address)
      .field("max_half_open", process_.config.srt.max_half_open)
      .field("suppressed", suppressed);
}

}  // namespace weir::srt
