// ReplayHalf: what Weir is towards one origin. It shakes hands, replays what the client has said,
// drops the answers that the client already has and passes the rest, until both directions can do
// without it. Owner: rtmp::Session; one object an origin that is tried. Pure.
//
//   kHandshake --S2--> kReplay --createStream answered--> kAnswers --its word--> kRelay
//
// Client -> origin: the client's bytes as they are, unless texts or message stream ids must be
// others there (ServerHalf::as_sent; the origin's answer to createStream). Origin -> client:
// through a ChunkBridge until the client's decoder reads every chunk stream as the origin means it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "common/proto/rtmp/handshake.h"
#include "workers/rtmp/server_session.h"
#include "workers/rtmp/session_types.h"
#include "workers/rtmp/watch_session.h"

namespace weir::rtmp {

class ReplayHalf {
 public:
  enum class State : std::uint8_t { kHandshake, kReplay, kAnswers, kRelay };
  // The first that the origin has said of the client's wish.
  enum class Word : std::uint8_t {
    kNone,
    kYes,   // an onStatus that is no error (but for Play.Reset), or media
    kNo,    // no such stream
    kElse,  // another refusal
  };

  // Starts the handshake. REQUIRES: `server` is named and, like `view`, outlives this.
  ReplayHalf(const HandshakeCrypto& crypto, const ClientHandshakeOptions& options,
             const SessionLimits& session_limits, ServerHalf& server, ClientView& view);

  // Once released: from the client. Before, its bytes are kept by the ServerHalf.
  void feed_client(ByteView in);
  void feed_origin(ByteView in);

  Bytes& to_origin() { return to_origin_; }
  State state() const { return state_; }
  bool released() const { return state_ >= State::kAnswers; }
  Failure failure() const { return failure_; }
  std::string_view failure_detail() const { return detail_; }
  bool passed() const { return passed_; }  // bytes of the origin have reached the client
  bool answered() const { return answered_; }
  bool refused() const { return refused_; }
  Word word() const { return word_; }
  bool media() const { return media_; }
  bool renumbers() const { return renumbers_; }
  // From here on bytes pass as they are. A watch on one direction goes on (take_watch()).
  bool client_raw() const;
  bool origin_raw() const { return origin_raw_; }
  // A message of our own has a place in what the client has got so far.
  bool at_client_boundary() const;
  // REQUIRES: client_raw() and origin_raw(). Ends this object's work.
  std::unique_ptr<StreamWatch> take_watch();
  std::size_t buffered_bytes() const;

 private:
  void fail(Failure why, std::string_view detail = {});

  // Client -> origin.
  void advance();
  void note_srs(ByteView answer);
  void replay_until(std::size_t end);
  void release();
  void pass_up(ByteView in);
  void on_client_command(const ChunkEvent& event, bool held);
  void judge(const Command& command);
  Bytes rewritten(const Command& command, ByteView payload);

  // Origin -> client.
  void parse_origin(ByteView in);
  void on_origin_event(const ChunkEvent& event);
  void pass_down_raw(ByteView in);
  bool drops(const ChunkEvent& event);
  bool is_out_of_place(const Command& command) const;
  bool drops_answer(const Command& command);
  std::size_t find_asked(const Command& command) const;
  bool drops_result(const Asked& asked, const Command& command);
  void on_status(const Command& command);
  void note(Word word) { word_ = word_ == Word::kNone ? word : word_; }
  bool awaits(CommandKind kind) const;
  void try_raw();

  ServerHalf& server_;
  ClientView& view_;
  State state_ = State::kHandshake;
  Failure failure_ = Failure::kNone;
  std::string_view detail_;  // a literal
  std::unique_ptr<ClientHandshake> origin_handshake_;
  Bytes to_origin_;

  ChunkParser client_;        // of what the client sent, from the preamble's begin
  ChunkBridge up_;            // keeps the origin's view of it
  std::size_t replayed_ = 0;  // of the preamble
  bool rewrites_ = false;     // texts of the client are others at the origin
  bool srs_ = false;          // the origin is one

  ChunkParser origin_;                                   // of what the origin sends
  std::vector<Asked> asked_;                             // answers that are still to come
  std::uint32_t origin_stream_ = ServerHalf::kStreamId;  // of the last createStream
  bool passed_ = false;
  bool answered_ = false;
  bool media_ = false;
  bool refused_ = false;
  Word word_ = Word::kNone;
  bool renumbers_ = false;
  bool origin_raw_ = false;
};

}  // namespace weir::rtmp
