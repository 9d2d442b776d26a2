// Passes a sender's messages on to a receiver whose decoder state is not the sender's, because some
// messages were left out and others were written in between. Pure. One bridge a direction, beside
// the ChunkParser of the sender; it remembers, for each chunk stream, what the receiver's decoder
// knows, and rewrites a compressed header exactly when that decoder would misread it:
//
//   header   verbatim if it refers only to fields on which both sides agree
//   fmt 1-3  as fmt 1 with an explicit delta if timestamp and message stream agree, else as fmt 0
//
// Payloads are never touched and chunks stay as they were cut. When all chunk streams agree, bytes
// may pass unparsed from then on.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/base/bytes.h"
#include "common/proto/rtmp/chunk.h"

namespace weir::rtmp {

class ChunkBridge {
 public:
  using Bytes = std::vector<std::uint8_t>;
  struct StreamIdPair {
    std::uint32_t sender = 0;
    std::uint32_t receiver = 0;
  };

  // A message of our own (fmt 0, timestamp 0). REQUIRES: no chunk is half way in `out`.
  void write(Bytes& out, std::uint32_t csid, std::uint8_t type, std::uint32_t stream_id,
             ByteView payload, std::uint32_t chunk_size);

  // Feeds one event of the sender's parser. A message that begins with `hold` appends nothing until
  // pass_held(); any other passes at once.
  void on_event(const ChunkEvent& event, bool hold, Bytes& out);
  // Passes the held message that `event` has ended. Not calling it drops the message.
  void pass_held(const ChunkEvent& event, std::uint32_t chunk_size, Bytes& out);
  // The same with another payload.
  void pass_changed(const ChunkEvent& event, ByteView payload, std::uint32_t chunk_size,
                    Bytes& out);

  // Message stream ids are rewritten from now on (in fmt 0 headers, where alone they stand).
  void map_stream_id(StreamIdPair pair) { stream_ids_.push_back(pair); }
  std::uint32_t receivers_id(std::uint32_t senders_id) const;

  // The receiver has got all of the sender's bytes so far as they were.
  void assume(const ChunkParser& sender);

  // Whether the receiver reads each chunk stream that the sender has used as the sender does.
  bool agrees(const ChunkParser& sender) const;
  // Makes them agree with commands that mean nothing, where only left-out commands stand between.
  // All or nothing: false, and nothing appended, if some chunk stream can't be brought there.
  // REQUIRES: sender.at_boundary().
  bool sync(const ChunkParser& sender, Bytes& out);

  // Forgets the sender, keeps the receiver. REQUIRES: none of its messages has passed.
  void forget_sender();
  std::size_t buffered_bytes() const { return peers_.capacity() * sizeof(Peer); }

 private:
  enum class Mode : std::uint8_t { kVerbatim, kRewrite, kHeld };
  // One chunk stream as the receiver sees it.
  struct Peer {
    std::uint32_t csid = 0;
    Mode mode = Mode::kVerbatim;
    std::uint8_t header_size = 0;  // of a held message's first header
    std::uint8_t stream_id_at = 0;
    std::uint8_t fmt = 0;
    bool repeats = true;  // fmt 3 chunks of the held message carry the timestamp
    ChunkState state;     // the receiver's
    ChunkState before;    // the sender's, before the held message
    std::array<std::uint8_t, kChunkHeaderMax> header{};
  };

  Peer& peer(std::uint32_t csid);
  const Peer* find(std::uint32_t csid) const;
  ChunkState translate(ChunkState state) const;
  bool reads(const ChunkState& receiver, const ChunkState& before, const ChunkState& after,
             std::uint8_t fmt) const;
  void begin(Peer& peer, const ChunkState& before, const ChunkState& after, ByteView header,
             Bytes& out);
  void begin_anew(Peer& peer, const ChunkState& before, const ChunkState& after, Bytes& out) const;
  // How to bring `peer` to `target`; false if there is no way.
  static bool plan_sync(const ChunkState& receiver, const ChunkState& target,
                        ChunkHeaderFields& fields);

  std::vector<Peer> peers_;
  std::vector<StreamIdPair> stream_ids_;
};

}  // namespace weir::rtmp
