// ServerHalf: what Weir is towards an RTMP client until publish or play names the stream. It
// answers the handshake, connect, createStream and their kin as a server would, and keeps every
// byte after C2 for the ReplayHalf. Owner: rtmp::Session. Pure. RTMP 1.0, 5.2 and 7.2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/proto/rtmp/handshake.h"
#include "workers/rtmp/session_types.h"

namespace weir::rtmp {

// A command that the origin will answer.
struct Asked {
  CommandKind kind = CommandKind::kOther;
  double transaction = 0;
  bool told = false;  // the client has its answer already: the origin's is dropped
};

class ServerHalf {
 public:
  // Every createStream is answered with it, as SRS and nginx do: one stream a connection.
  static constexpr std::uint32_t kStreamId = 1;

  // REQUIRES: `view` outlives this.
  ServerHalf(const HandshakeCrypto& crypto, const SessionLimits& session_limits, ClientView& view);

  // Bytes from the client. Once named() they are only kept.
  void feed(ByteView in);
  // A last word to the client, if it has come as far as connect. `code` empty:
  // NetStream.Play.StreamNotFound or NetStream.Publish.Denied by role,
  // NetConnection.Connect.Rejected before publish or play.
  void say_no(std::string_view code, std::string_view description);

  bool greeted() const { return client_handshake_ == nullptr; }  // the handshake is over
  bool named() const { return named_; }
  Failure failure() const { return failure_; }
  std::string_view failure_detail() const { return detail_; }
  const RouteWanted& wanted() const { return wanted_; }
  const route::RtmpAddress& address() const { return address_; }
  // The client's texts say the same to every origin, and it has named one stream only.
  bool as_sent() const;

  // For the replay. Offsets into the preamble.
  ByteView preamble() const { return preamble_; }
  std::size_t connect_end() const { return connect_end_; }
  std::size_t naming_at() const { return naming_at_; }
  const std::vector<Asked>& asked() const { return asked_; }
  // Something before publish or play was sent on a message stream.
  bool uses_stream_early() const { return stream_use_at_ < naming_at_; }
  void drop_preamble();
  std::size_t buffered_bytes() const;

 private:
  void fail(Failure why, std::string_view detail = {});
  void parse(ByteView in);
  void on_command(const ChunkEvent& event);
  void answer_connect(const Command& command);
  void answer(const Command& command);
  void note_publisher(const Command& command);
  void name_stream(const Command& command, const ChunkEvent& event);
  void tell(ByteView payload);

  SessionLimits limits_;
  ClientView& view_;
  std::unique_ptr<ServerHandshake> client_handshake_;
  ChunkParser parser_;
  Bytes preamble_;
  std::size_t connect_end_ = 0;
  std::size_t create_end_ = 0;            // the end of the last createStream
  std::size_t naming_at_ = 0;             // where publish or play begins
  std::size_t stream_use_at_ = SIZE_MAX;  // the first header with a message stream
  std::vector<Asked> asked_;
  std::size_t commands_ = 0;
  std::size_t streams_made_ = 0;
  std::uint32_t status_stream_ = 0;  // the message stream that publish or play was sent on
  bool connected_ = false;
  bool named_ = false;
  bool publishes_ = false;    // releaseStream, FCPublish or FCUnpublish came
  std::string publish_name_;  // the first name that one of these had
  bool names_differ_ = false;
  RouteWanted wanted_;
  route::RtmpAddress address_;
  Failure failure_ = Failure::kNone;
  std::string detail_;
};

}  // namespace weir::rtmp
