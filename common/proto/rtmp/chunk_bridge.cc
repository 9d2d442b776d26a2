#include "common/proto/rtmp/chunk_bridge.h"

#include <algorithm>

#include "common/proto/rtmp/command.h"

namespace weir::rtmp {
namespace {

void append(ChunkBridge::Bytes& out, ByteView bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

// What later headers can refer to; whether a fmt 0 header was among what led there is no part of
// it.
bool same_reference(const ChunkState& a, const ChunkState& b) {
  return a.timestamp == b.timestamp && a.delta == b.delta && a.length == b.length &&
         a.type == b.type && a.stream_id == b.stream_id && a.extended == b.extended;
}

}  // namespace

const ChunkBridge::Peer* ChunkBridge::find(std::uint32_t csid) const {
  for (const Peer& peer : peers_) {
    if (peer.csid == csid) return &peer;
  }
  return nullptr;
}

ChunkBridge::Peer& ChunkBridge::peer(std::uint32_t csid) {
  for (Peer& known : peers_) {
    if (known.csid == csid) return known;
  }
  // Bounded by the sender's parser, which refuses too many chunk streams, plus our own two.
  Peer& fresh = peers_.emplace_back();
  fresh.csid = csid;
  return fresh;
}

std::uint32_t ChunkBridge::receivers_id(std::uint32_t senders_id) const {
  for (const StreamIdPair& pair : stream_ids_) {
    if (pair.sender == senders_id) return pair.receiver;
  }
  return senders_id;
}

ChunkState ChunkBridge::translate(ChunkState state) const {
  state.stream_id = receivers_id(state.stream_id);
  return state;
}

void ChunkBridge::write(Bytes& out, std::uint32_t csid, std::uint8_t type, std::uint32_t stream_id,
                        ByteView payload, std::uint32_t chunk_size) {
  ChunkHeaderFields fields;
  fields.csid = csid;
  fields.type = type;
  fields.stream_id = stream_id;
  peer(csid).state = write_message(out, fields, payload, chunk_size);
}

// Whether a decoder in state `receiver` reads the sender's header of `fmt` right.
bool ChunkBridge::reads(const ChunkState& receiver, const ChunkState& before,
                        const ChunkState& after, std::uint8_t fmt) const {
  if (fmt == 0) return true;
  if (before.known && !receiver.known) return false;
  if (receiver.timestamp != before.timestamp || receiver.stream_id != after.stream_id) return false;
  if (fmt == 1) return true;
  if (receiver.length != after.length || receiver.type != after.type) return false;
  return fmt == 2 || (receiver.delta == before.delta && receiver.extended == before.extended);
}

// Appends the first header of a message. REQUIRES: peer.fmt and peer.stream_id_at are set; the
// states are translated.
void ChunkBridge::begin(Peer& peer, const ChunkState& before, const ChunkState& after,
                        ByteView header, Bytes& out) {
  if (reads(peer.state, before, after, peer.fmt)) {
    const std::size_t at = out.size();
    append(out, header);
    if (peer.fmt == 0) store_le32(out.data() + at + peer.stream_id_at, after.stream_id);
    peer.state = after;
    peer.mode = Mode::kVerbatim;
    return;
  }
  begin_anew(peer, before, after, out);
}

// A first header of our own, which says all that the receiver does not know.
void ChunkBridge::begin_anew(Peer& peer, const ChunkState& before, const ChunkState& after,
                             Bytes& out) const {
  ChunkHeaderFields fields;
  fields.csid = peer.csid;
  fields.type = after.type;
  fields.length = after.length;
  fields.stream_id = after.stream_id;
  fields.fmt = peer.fmt != 0 && peer.state.known && reads(peer.state, before, after, 1) ? 1 : 0;
  fields.time = fields.fmt == 1 ? after.delta : after.timestamp;
  write_chunk_header(out, fields);
  peer.state = after;
  peer.state.delta = fields.time;
  peer.state.extended = fields.time >= kExtendedMark;
  peer.mode = Mode::kRewrite;
}

void ChunkBridge::on_event(const ChunkEvent& event, bool hold, Bytes& out) {
  Peer& to = peer(event.csid);
  if (event.kind == ChunkEvent::Kind::kPayload) {
    if (to.mode != Mode::kHeld) append(out, event.bytes);
    return;
  }
  if (event.message_begin) {
    to.fmt = event.fmt;
    to.stream_id_at = event.stream_id_at;
    if (!hold) {
      begin(to, translate(event.before), translate(event.state), event.bytes, out);
      return;
    }
    to.mode = Mode::kHeld;
    to.before = event.before;
    to.repeats = true;
    to.header_size = static_cast<std::uint8_t>(event.bytes.size());
    std::copy(event.bytes.begin(), event.bytes.end(), to.header.begin());
    return;
  }
  switch (to.mode) {
    case Mode::kVerbatim:
      append(out, event.bytes);
      return;
    case Mode::kHeld:
      to.repeats = event.extended;
      return;
    case Mode::kRewrite:
      break;
  }
  ChunkHeaderFields fields;
  fields.fmt = 3;
  fields.csid = event.csid;
  fields.time = to.state.extended ? to.state.delta : 0;
  write_chunk_header(out, fields);
}

void ChunkBridge::pass_held(const ChunkEvent& event, std::uint32_t chunk_size, Bytes& out) {
  Peer& to = peer(event.csid);
  begin(to, translate(to.before), translate(event.state), ByteView(to.header).first(to.header_size),
        out);
  const bool repeat = to.state.extended && (to.mode == Mode::kRewrite || to.repeats);
  write_chunk_payload(out, to.csid, event.message, chunk_size, repeat, to.state.delta);
}

void ChunkBridge::pass_changed(const ChunkEvent& event, ByteView payload, std::uint32_t chunk_size,
                               Bytes& out) {
  Peer& to = peer(event.csid);
  ChunkState after = translate(event.state);
  after.length = static_cast<std::uint32_t>(payload.size());
  begin_anew(to, translate(to.before), after, out);
  write_chunk_payload(out, to.csid, payload, chunk_size, to.state.extended, to.state.delta);
}

void ChunkBridge::assume(const ChunkParser& sender) {
  for (const ChunkParser::Stream& stream : sender.streams()) {
    peer(stream.csid).state = translate(stream.state);
  }
}

bool ChunkBridge::agrees(const ChunkParser& sender) const {
  const auto& streams = sender.streams();
  return std::all_of(streams.begin(), streams.end(), [this](const ChunkParser::Stream& stream) {
    const Peer* to = find(stream.csid);
    if (!stream.state.known) return true;
    return to != nullptr && to->state.known && same_reference(to->state, translate(stream.state));
  });
}

bool ChunkBridge::plan_sync(const ChunkState& receiver, const ChunkState& target,
                            ChunkHeaderFields& fields) {
  const bool command = target.type == kCommandAmf0 || target.type == kCommandAmf3;
  // With an extended timestamp, or with a length that a command can't have, it isn't worth it.
  if (!command || target.extended || target.delta >= kExtendedMark || target.length < kNoOpMin ||
      target.length > limits::kRtmpCommandBytes) {
    return false;
  }
  fields.type = target.type;
  fields.stream_id = target.stream_id;
  fields.time = target.delta;
  if (target.delta == target.timestamp) {
    fields.fmt = 0;
    return true;
  }
  fields.fmt = 1;
  return receiver.known && receiver.stream_id == target.stream_id &&
         receiver.timestamp + target.delta == target.timestamp;
}

bool ChunkBridge::sync(const ChunkParser& sender, Bytes& out) {
  const std::size_t start = out.size();
  std::vector<Peer> saved = peers_;
  for (const ChunkParser::Stream& stream : sender.streams()) {
    const ChunkState target = translate(stream.state);
    Peer& to = peer(stream.csid);
    if (!target.known || (to.state.known && same_reference(to.state, target))) continue;
    ChunkHeaderFields fields;
    fields.csid = stream.csid;
    Bytes payload;
    if (!plan_sync(to.state, target, fields) || !write_no_op(payload, target.type, target.length)) {
      out.resize(start);
      peers_.swap(saved);
      return false;
    }
    to.state = write_message(out, fields, payload, sender.chunk_size(), to.state);
  }
  return true;
}

void ChunkBridge::forget_sender() {
  stream_ids_.clear();
  // Chunk streams that only the sender used were made by held messages; the receiver knows nothing.
  std::erase_if(peers_, [](const Peer& known) { return !known.state.known; });
  for (Peer& known : peers_) known.mode = Mode::kVerbatim;
}

}  // namespace weir::rtmp
